"""Reports of a made-up past as plain values, and the state at a moment made of them in plain Python."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from database.past import RESOLUTIONS
from database.rollups import begin
from model.history import METRICS, TIERS
from tests.past import LATER, NAMES, T0, Writer, container
from tests.schema_engine import Target
from utils.utils import SECOND, micros, moment

HOSTS = ("a", "b", "c")


@dataclass(frozen=True)
class Told:
    """One report: of whom, when, and what it said."""

    host: str
    at: datetime
    metrics: dict[str, float | None]
    shown: list[dict[str, Any]]


def told(dice: random.Random, count: int = 150, span_s: int = 9_000) -> list[Told]:
    """Reports of three hosts in the order of time, some without containers."""
    made = []
    for at_s in sorted(dice.sample(range(span_s), count)):
        shown = [container(*name, dice) for name in NAMES if dice.random() < 0.85]
        metrics = {name: dice.choice([None, dice.randrange(800) / 8]) for name in METRICS}
        at = moment(T0) + timedelta(seconds=at_s, milliseconds=125 * dice.randrange(8))
        made.append(Told(dice.choice(HOSTS), at, metrics, shown))
    return made


def written(store: Target, reports: list[Told]) -> None:
    """Stores reports in the given order, as the service does."""
    writer = Writer(store)
    for one in reports:
        made = writer.report(one.host, (one.at - moment(T0)) / timedelta(seconds=1), *one.shown, **one.metrics)
        made.received_at = micros(LATER)  # else a late one would be of a clock that was set back
        writer.put(made)


def newest(reports: list[Told], at: datetime) -> dict[str, Told]:
    """Of each host its newest report then."""
    return {one.host: one for one in sorted(reports, key=lambda one: one.at) if one.at <= at}


def bucket(reports: list[Told], host: str, at: datetime) -> tuple[int, datetime, list[Told]] | None:
    """The finest tier that is not older than a coarser one, its newest bucket then, and what that is made of."""
    own = sorted((one for one in reports if one.host == host), key=lambda one: one.at)
    begun = {
        seconds: max((first for one in own if (first := begin(one.at, seconds)) <= at), default=None)
        for seconds in TIERS
    }
    for place, seconds in enumerate(TIERS):
        begins = begun[seconds]
        if begins and all(begins >= (begun[coarser] or begins) for coarser in TIERS[place + 1 :]):
            return seconds, begins, [one for one in own if begin(one.at, seconds) == begins]
    return None


def placed(reports: list[Told], at: datetime, *, aggregated: bool) -> dict[str, tuple[int, datetime, list[Told]]]:
    """Of each host that was there then: seconds of a bucket or 0, its moment, and the reports that it is made of.

    A host's last report is never aggregated away.
    """
    last, found = newest(reports, max(one.at for one in reports)), {}
    for host in HOSTS:
        one = newest(reports, at).get(host)
        made = bucket(reports, host, at) if aggregated and one is not last[host] else None
        if made:
            found[host] = made
        elif one:
            found[host] = (0, one.at, [one])
    return found


def containers(reports: list[Told], at: datetime, *, aggregated: bool) -> list[dict[str, Any]]:
    """The containers of all hosts as they should be listed, in no order."""
    listed = []
    for host, (seconds, first, made_of) in placed(reports, at, aggregated=aggregated).items():
        listed += of_bucket(host, seconds, first, made_of) if seconds else of_report(made_of[0])
    return listed


def average(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def of_report(one: Told) -> list[dict[str, Any]]:
    named = {"host_name": one.host, "resolution": "raw", "sampled_at": text(one.at)}
    return [{**shown, **named} for shown in one.shown]


def of_bucket(host: str, seconds: int, first: datetime, reports: list[Told]) -> list[dict[str, Any]]:
    names = {(shown["engine_type"], shown["container_name"]) for one in reports for shown in one.shown}
    return [_averaged(host, name, seconds, first, reports) for name in names]


def _averaged(host: str, name: tuple[str, str], seconds: int, first: datetime, reports: list[Told]) -> dict[str, Any]:
    samples = [
        shown for one in reports for shown in one.shown if (shown["engine_type"], shown["container_name"]) == name
    ]
    named = {"host_name": host, "engine_type": name[0], "container_name": name[1], "status": samples[-1]["status"]}
    where = {"resolution": RESOLUTIONS[seconds], "sampled_at": text(first)}
    return {**named, **where, **{metric: average([shown[metric] for shown in samples]) for metric in METRICS}}


def text(at: datetime) -> str:
    return f"{at.isoformat(timespec='microseconds')}Z"


def later(dice: random.Random, span_s: int = 9_500) -> datetime:
    """Some moment of the made-up past, or a little before or after it."""
    return moment(T0 + int(dice.uniform(-300, span_s) * SECOND))
