"""Load by wrk, and what it saw."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CONNECTIONS, THREADS = 256, 2
SCRIPT = Path(__file__).parent / "load.lua"
# wrk leaves what took longer out of its percentiles; a slow server must not look better for it.
TIMEOUT_S = 60


class Seen(NamedTuple):
    """What wrk saw: `ok` answers below 400, `refused` ones above, `broken` connections, and its own CPU time."""

    ok: int
    refused: int
    broken: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return self.ok / self.duration_s


def run(
    url: str,
    seconds: int,
    *,
    bodies: Path | None = None,
    connections: int = CONNECTIONS,
    rate: float | None = None,
    token: str | None = None,
) -> Seen:
    """Posts a file of bodies as fast as the server answers, or at most so many a second; without one gets the URL."""
    if not (program := shutil.which("wrk")):
        sys.exit("The benchmarks need wrk, which is not installed: `make test` does that as root on Debian.")
    threads = min(THREADS, connections)
    given = ["--", str(bodies), str(threads)] if bodies else []
    given += [f"{1e3 * connections / rate:.0f}"] if bodies and rate else []
    options = [f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s", "-s", str(SCRIPT)]
    options += ["-H", f"Authorization: Bearer {token}"] if token else []
    before = _children_cpu_s()
    done = subprocess.run([program, *options, url, *given], capture_output=True, text=True, check=True)  # noqa: S603 - wrk
    return _seen(done.stdout, _children_cpu_s() - before)


def _seen(output: str, cpu_s: float) -> Seen:
    figures = json.loads(output.splitlines()[-1])
    return Seen(
        ok=figures["requests"] - figures["refused"],
        refused=figures["refused"],
        broken=figures["broken"],
        duration_s=figures["duration_us"] / 1e6,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        cpu_s=cpu_s,
    )


def _children_cpu_s() -> float:
    """The CPU time of the children that have ended: while wrk runs, no other does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
