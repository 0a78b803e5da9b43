"""What is asked about reports that may be stored already. Connection in, rows out; nothing here commits."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_

from database.rows import Prepared, Record
from model.models import reports
from utils.utils import moment

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


def by_key(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Record]:
    """Finds reports by the agents' keys."""
    return {row.report_key: row for row in connection.execute(_BY_KEY, {"keys": list(keys)})} if keys else {}


def by_identity(connection: Connection, batch: Sequence[Prepared]) -> dict[tuple[int, Any], Record]:
    """Finds the reports that stand where the batch's would."""
    identities = [(report.host_id, moment(report.sampled_at)) for report in batch]
    return {(row.host_id, row.sampled_at): row for row in connection.execute(_BY_IDENTITY, {"identities": identities})}
