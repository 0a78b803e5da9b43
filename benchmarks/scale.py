"""A month, measured: `python -m benchmarks.scale` prints how long reads take of what default retention leaves of it.

20 hosts with 20 containers that report every 10 s, for 30 days, and 1,000 that report every 60 s, for a day (`--scale
full`: for three; `small` is a test of this program). Each read is repeated over one connection for some seconds, after
a first one whose time is told too, with that of tries that were given up. Servers have the memory that
`deploy/compose.yaml` gives MySQL. BENCH_ENGINES=sqlite,mysql narrows it.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx

from benchmarks import load
from benchmarks.contestants import ours
from benchmarks.engines import chosen, started
from benchmarks.history_size import OPTIONS
from benchmarks.machine import described
from benchmarks.scale_fill import SCALES, Scale, filled
from benchmarks.scale_rows import cluster_name, container_name

SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=30)}
WEEK = timedelta(days=7)
HEADS = ("engine", "read", "items", "first ms", "p50 ms", "p99 ms", "target p50 ms", "")
BYTES = 5.0
# However slow a read is, it is repeated about so often.
FEWEST = 3
COLD = 10


class Read(NamedTuple):
    """What is asked for, and below how many milliseconds its median shall be, if anyone said."""

    title: str
    path: str
    params: dict[str, str]
    target_ms: float | None = None


def main() -> None:
    """Measures every engine and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="default")
    scale = SCALES[parser.parse_args().scale]
    with tempfile.TemporaryDirectory() as made:
        lines = [
            HEADS,
            ("---",) * len(HEADS),
            *(line for name in chosen() for line in _engine(name, Path(made), scale)),
        ]
        about = described(Path(made))
    sys.stdout.write(f"{about}; {scale}.\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))


def _engine(name: str, folder: Path, scale: Scale) -> Iterator[tuple[str, ...]]:
    with started(name, folder, *OPTIONS.get(name, "").split()) as store, store.database() as url:
        began = time.monotonic()
        past = filled(url, scale)
        sys.stderr.write(f"{store.title}: filled in {time.monotonic() - began:.0f} s\n")
        logs = folder / f"{name}-log"
        logs.mkdir()
        with ours(1).start(url, logs) as server:
            for read in _reads(past.ends):
                yield store.title, *_row(read, server.url, scale.read_s)
        yield (
            store.title,
            "a metric of a sample, as a row and its share of the report: bytes",
            "",
            "",
            f"{past.raw:.1f}",
            "",
            "",
            "",
        )
        aggregated = (f"{past.aggregated:.1f}", "", f"≤ {BYTES:.0f}", _met(past.aggregated <= BYTES))
        yield store.title, "the same of a month, in all tiers: bytes", "", "", *aggregated


def _reads(now: datetime) -> Iterator[Read]:
    yield from _histories(now)
    yield Read("events", "/api/events", {"limit": "100"}, 30)
    one = {"kind": "dark"}, {"host_id": "1"}, {"container_name": container_name(1)}
    yield from (Read(f"events by {next(iter(by))}", "/api/events", {"limit": "100", **by}) for by in one)
    yield Read("hosts", "/api/hosts", {})
    yield Read("containers", "/api/containers", {"limit": "1000"})
    for title, ago in (("an hour", SPANS["hour"]), ("a week", WEEK)):
        at = {"at": _text(now - ago)}
        yield Read(f"containers {title} ago, first page", "/api/containers", at, 150 if ago == WEEK else None)
        yield Read(f"hosts {title} ago", "/api/hosts", at)
    yield Read("difference of a day, one host", "/api/diff", {"host_id": "1", **_span(now, "day")})
    yield Read("difference of a week, all hosts", "/api/diff", {"from": _text(now - WEEK), "to": _text(now)})
    yield Read("storage", "/api/storage", {})


def _histories(now: datetime) -> Iterator[Read]:
    whose = {
        "a container": ({"host_id": "1", "container_name": container_name(1)}, 100),
        "a host": ({"host_id": "2"}, 60),
    }
    for title, (params, target) in whose.items():
        for span in SPANS:
            yield Read(f"{title}'s last {span}", "/api/history", {**params, **_span(now, span)}, target)
    sums = {"a host": {"host_id": "1", "of": "containers"}, "a cluster of 20 hosts": {"cluster_name": cluster_name(1)}}
    for title, params in sums.items():
        yield Read(f"the sum over {title}, last day", "/api/history", {**params, **_span(now, "day")})


def _span(now: datetime, name: str) -> dict[str, str]:
    return {"from": _text(now - SPANS[name]), "to": _text(now)}


def _text(at: datetime) -> str:
    return f"{at.isoformat()}Z"


def _row(read: Read, url: str, seconds: int) -> tuple[str, ...]:
    target = f"{url}{read.path}?{urlencode(read.params)}"
    began = time.monotonic()
    answer = _first(target)
    first_s = time.monotonic() - began
    seen = load.run(target, max(seconds, math.ceil(first_s * FEWEST)), connections=1)
    if seen.refused or seen.broken or not seen.ok:
        return read.title, "", f"{1e3 * first_s:.0f}", "failed", "", "", ""
    judged = ("", "") if read.target_ms is None else (f"< {read.target_ms:.0f}", _met(seen.p50_ms < read.target_ms))
    times = (f"{1e3 * first_s:.0f}", f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}")
    return read.title, f"{_items(answer.json()['data']):,}", *times, *judged


def _first(target: str) -> httpx.Response:
    """The first answer: a server gives up a read that finds nothing in memory, but what it read by then stays there."""
    for _ in range(COLD):
        answer = httpx.get(target, timeout=60)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    return answer.raise_for_status()


def _met(good: bool) -> str:  # noqa: FBT001 - the one thing it is about
    return "met" if good else "**MISSED**"


def _items(data: Any) -> int:  # noqa: ANN401 - whatever was asked for
    """How much was in the answer: a quick one that is empty proves nothing."""
    if isinstance(data, list):
        return len(data)
    if "points" in data:
        return len(data["points"])
    return int(data["to"]["containers_count"]) if "to" in data else len(data["tables"])


if __name__ == "__main__":
    main()
