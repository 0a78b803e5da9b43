"""A batch's statements for SQLite: few, and the rows of a batch in one value, as JSON.

The driver lets go of the interpreter for each execution and for each row that it fetches, and the writer's thread gets
it back only when the event loop pauses. Row by row the two would work in turns; so SQLite takes the rows apart itself,
beside the event loop.
"""

import json
from collections.abc import Sequence
from itertools import chain

from pydantic_core import to_json
from sqlalchemy import Connection

from database.dialect import DETAILED, MOVE, PRESENCE, REPORT, STATE, TARGET, Held
from database.rows import Prepared, Row, Value
from utils.utils import time_text

# So many reports an execution: several copies of their text are in memory meanwhile.
PART = 50
# Stands for host and moment in a finished row: no name holds a control character, so no other text reads like it.
_MARK = "\x1f"
_MARKED = to_json(_MARK).decode()


def _moment(column: str) -> str:
    """Microseconds since 1970, the fraction by itself: older libraries round it up to the next second."""
    return f"strftime('%s', substr({column}, 1, 19)) * 1000000 + substr({column}, 21)"


def _values(columns: Sequence[str], each: str) -> str:
    """The rows of a JSON array of arrays, which `each` takes apart."""
    taken = ", ".join(f"value->>{place} AS {name}" for place, name in enumerate(columns))
    return f"SELECT {taken} FROM {each}(?)"  # noqa: S608 - column names of our own, as in all statements below


LOCK = (
    f"SELECT json_group_array(json_array(id, {_moment('sampled_at')}, {_moment('last_seen')}, interval_s, host_name)) "  # noqa: S608
    "FROM hosts WHERE deleted_at IS NULL AND id IN (SELECT value FROM json_each(?))"
)
# Its keys are bytes, which JSON has not.
REPORTS = f"INSERT INTO reports ({','.join(REPORT)}) VALUES "  # noqa: S608
REPORT_ROW = f"({','.join('?' * len(REPORT))})"
_SET = [
    *(f"{name} = iif(new.moves, new.{name}, hosts.{name})" for name in STATE),
    *(f"{name} = new.{name}" for name in PRESENCE),
]


def each_of(version: tuple[int, ...]) -> str:
    """Names what takes an array apart: since 3.51 there is one that need not write each row out and read it again."""
    return "jsonb_each" if version >= (3, 51) else "json_each"


class Statements:
    """The five statements of a batch, for a version of the library."""

    def __init__(self, version: tuple[int, ...]) -> None:
        each = each_of(version)
        minute = ("host_id", "minute")
        self._containers, self._details = (
            f"INSERT INTO containers ({','.join(columns)}) {_values(columns, each)}" for columns in (TARGET, DETAILED)
        )
        self._pending = f"INSERT OR IGNORE INTO rollup_pending ({','.join(minute)}) {_values(minute, each)}"
        new = f"({_values(MOVE, each)}) AS new"
        self._update = f"UPDATE hosts SET {', '.join(_SET)} FROM {new} WHERE hosts.id = new.id"  # noqa: S608

    def finish(self, rows: list[Row]) -> str:
        """The rows as JSON, without the brackets around them, a mark in the place of host and moment."""
        return to_json([(*row, _MARK) for row in rows]).decode()[1:-1]

    def lock_hosts(self, connection: Connection, ids: Sequence[int], *, skip_locked: bool) -> dict[int, Held]:  # noqa: ARG002 - the writer's transactions hold the whole file
        """Reads hosts: the transaction holds the whole file already."""
        found = connection.exec_driver_sql(LOCK, (to_json(ids).decode(),)).scalar_one()
        return {id_: Held(*values) for id_, *values in json.loads(found)}

    def insert_reports(self, connection: Connection, batch: Sequence[Prepared]) -> None:
        """One statement for all reports; SQLite takes 32,766 values in one, a batch has a third of them at most."""
        values = tuple(chain.from_iterable(map(_report, batch)))
        connection.exec_driver_sql(REPORTS + ",".join([REPORT_ROW] * len(batch)), values)

    def insert_containers(self, connection: Connection, batch: Sequence[Prepared], _packet: int) -> None:
        """One statement a part of the batch; SQLite knows no packets."""
        for detailed, statement in ((False, self._containers), (True, self._details)):
            texts = [_placed(report) for report in batch if report.containers and report.detailed is detailed]
            for first in range(0, len(texts), PART):
                connection.exec_driver_sql(statement, (f"[{','.join(texts[first : first + PART])}]",))

    def insert_pending(self, connection: Connection, minutes: Sequence[tuple[int, str]]) -> None:
        """One statement for all minutes."""
        connection.exec_driver_sql(self._pending, (to_json(minutes).decode(),))

    def update_hosts(self, connection: Connection, moves: Sequence[Row]) -> None:
        """One statement for all hosts."""
        connection.exec_driver_sql(self._update, (to_json(moves).decode(),))


def _placed(report: Prepared) -> str:
    return report.containers.replace(_MARKED, f'{report.host_id},"{time_text(report.sampled_at)}"')


def _report(report: Prepared) -> tuple[Value | bytes, ...]:
    moments = (time_text(report.sampled_at), report.report_key, report.content_hash, time_text(report.received_at))
    return (report.host_id, *moments, *report.host, report.containers_count)
