"""Statements about reports and the minutes they touch. Connection in, rows out; nothing here commits."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, tuple_

from database.dialect import insert_ignore
from database.rows import HOST_VALUES, Prepared, Record
from model.models import reports, rollup_pending
from utils.utils import SECOND, moment

_MINUTE = 60 * SECOND
_FOUND = (
    reports.c.host_id,
    reports.c.sampled_at,
    reports.c.received_at,
    reports.c.report_key,
    reports.c.content_hash,
    reports.c.containers_count,
)
_BY_KEY = select(*_FOUND).where(reports.c.report_key.in_(bindparam("keys", expanding=True)))
_BY_IDENTITY = select(*_FOUND).where(
    tuple_(reports.c.host_id, reports.c.sampled_at).in_(bindparam("identities", expanding=True))
)
_TOUCH = insert_ignore(rollup_pending)


def add(connection: Connection, batch: Sequence[Prepared]) -> None:
    """Inserts the batch's reports in one statement."""
    connection.execute(insert(reports), [_values(report) for report in batch])


def _values(report: Prepared) -> dict[str, Any]:
    values: dict[str, Any] = dict(zip(HOST_VALUES, report.host, strict=True))
    values["get_datetime"] = datetime.fromisoformat(str(values["get_datetime"]))
    return {
        **values,
        "host_id": report.host_id,
        "sampled_at": moment(report.sampled_at),
        "received_at": moment(report.received_at),
        "report_key": report.report_key,
        "content_hash": report.content_hash,
        "containers_count": len(report.containers),
    }


def touch(connection: Connection, batch: Iterable[Prepared]) -> None:
    """Marks the batch's minutes as out of date."""
    pairs = sorted({(report.host_id, report.sampled_at - report.sampled_at % _MINUTE) for report in batch})
    connection.execute(_TOUCH, [{"host_id": host_id, "minute": moment(minute)} for host_id, minute in pairs])


def by_key(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Record]:
    """Finds reports by the agents' keys."""
    return {row.report_key: row for row in connection.execute(_BY_KEY, {"keys": list(keys)})} if keys else {}


def by_identity(connection: Connection, batch: Sequence[Prepared]) -> dict[tuple[int, Any], Record]:
    """Finds the reports that stand where the batch's would."""
    identities = [(report.host_id, moment(report.sampled_at)) for report in batch]
    return {(row.host_id, row.sampled_at): row for row in connection.execute(_BY_IDENTITY, {"identities": identities})}
