"""The job's lease among several instances of the server: one works, and when it is killed another goes on."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.jobs import LEASE_TTL_S, ROLL_EVERY_S
from tests.conftest import ENGINES
from tests.elapsed import within
from tests.processes import free_port
from tests.programs import MAIN, Program, program
from tests.schema_engine import Target, target
from tests.service import report

pytestmark = [pytest.mark.history, pytest.mark.slow]
SERVERS = [engine for engine in ENGINES if engine == "mysql"]  # each waits for a lease to run out
TAKEN_WITHIN_S = 30.0


def posted(one: Program, count: int, age_s: float) -> int:
    """So many reports of ended minutes, each 7 s after the one before."""
    for number in range(count):
        body = {**report(f"h{number % 3}", "web"), "age_s": age_s - 7 * number}
        assert one.post(body).status_code == 200
    return count


def owner(store: Target) -> str:
    [row] = store.sql("SELECT owner FROM leases WHERE name = 'history'") or [("",)]
    return str(row[0])


def counted(store: Target) -> tuple[int, int]:
    """The samples in the finest tier, and what is due."""
    due = "SELECT COUNT(*) FROM rollup_pending"
    [row] = store.sql(f"SELECT COALESCE(SUM(samples), 0), ({due}) FROM rollup_60 WHERE {OF_HOSTS}")
    return int(row[0]), int(row[1])


OF_HOSTS = "series_id IN (SELECT id FROM series WHERE container_name = '')"


def waited(seconds: float, holds: Callable[[], bool]) -> float:
    """Waits; gives how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.parametrize("engine", SERVERS)
def test_a_killed_holder_is_replaced_and_every_sample_is_counted_once(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, started = new_url(engine), dict[str, tuple[Program, ExitStack]]()
    with ExitStack() as all_, target(url) as store:
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            own = all_.enter_context(ExitStack())
            one = own.enter_context(program(MAIN, url, folder, free_port())).ready()
            started[f"-{one.child.pid}-"] = (one, own)
        (first, _), (second, _) = started.values()
        sent = posted(first, 60, 3_600) + posted(second, 60, 1_800)
        waited(60, lambda: counted(store) == (sent, 0))
        holder = owner(store)
        [(killed, end)] = [known for pid, known in started.items() if pid in holder]
        survivor = second if killed is first else first
        sent += posted(killed, 60, 3_595)  # late: what was made of them is made again
        end.close()
        took_s = waited(TAKEN_WITHIN_S, lambda: owner(store) != holder)
        sent += posted(survivor, 30, 1_000)
        waited(60, lambda: counted(store) == (sent, 0))
    within(took_s, LEASE_TTL_S + 2 * ROLL_EVERY_S)
