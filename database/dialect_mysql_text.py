"""A batch's statements for MySQL and MariaDB, as text: their parameters would cost more than all else of a report."""

import json
import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache

from pydantic_core import to_json
from sqlalchemy import Connection

from database.dialect import DETAILED, MOVE, PRESENCE, REPORT, STATE, TARGET, Held
from database.rows import CONTAINER_COLUMNS, Prepared, Row, Value, byte_count
from utils.utils import time_text

# Stands between the rows of a report: no name holds it.
_BREAK = "\0"
_PLAIN = len(CONTAINER_COLUMNS)
# Around the five names and the time of a container.
QUOTES = 12
_TYPES = dict.fromkeys(("cpu_percentage", "memory_usage", "memory_percentage", "interval_s"), "DOUBLE")
_TYPES |= dict.fromkeys(("id", "moves", "cpu_cores", "cpu_threads", "containers_count", "containers_running"), "BIGINT")
_TYPES |= dict.fromkeys(("load1", "disk_usage", "disk_total"), "DOUBLE")
_TYPES |= dict.fromkeys(("uptime_s", "network_received", "network_sent"), "BIGINT")
_TYPES |= dict.fromkeys(("os", "kernel"), "VARCHAR(255) CHARACTER SET utf8mb4")
_TYPES |= dict.fromkeys(("sampled_at", "last_seen", "expected_by"), "DATETIME(6)") | {"get_datetime": "DATETIME"}
_COLUMNS = ", ".join(f"{name} {_TYPES[name]} PATH '$[{place}]'" for place, name in enumerate(MOVE))
_SET = ", ".join(
    [*(f"h.{name} = IF(v.moves, v.{name}, h.{name})" for name in STATE), *(f"h.{name} = v.{name}" for name in PRESENCE)]
)

# The rows of a batch belong to hosts that its transaction has locked: looking each up again only costs. MySQL takes
# the one as a hint, MariaDB the other as a frame; to each the other's is a comment, see ADR 0017.
UNCHECKED = "/*M! SET STATEMENT foreign_key_checks=0 FOR */ INSERT /*+ SET_VAR(foreign_key_checks=OFF) */ INTO "
CONTAINERS = f"{UNCHECKED}containers ({','.join(TARGET)}) VALUES "
DETAILS = f"{UNCHECKED}containers ({','.join(DETAILED)}) VALUES "
REPORTS = f"{UNCHECKED}reports ({','.join(REPORT)}) VALUES "
PENDING = "INSERT IGNORE INTO rollup_pending (host_id,minute) VALUES "
UPDATE = "UPDATE JSON_TABLE("
# One row of JSON, which is read at once: the driver needs longer for each value of a row than the server for the row.
LOCK = (
    "SELECT JSON_ARRAYAGG(JSON_ARRAY(id, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', sampled_at), "
    "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', last_seen), interval_s, host_name)) "
    # Of a small table MySQL would rather read all rows, and so wait for locks on hosts that were not asked for.
    "FROM hosts FORCE INDEX (PRIMARY) WHERE deleted_at IS NULL AND id IN ("
)


def literal(value: Value | bytes) -> str:
    """Writes a value as SQL; `repr` of a float is the shortest text that reads back the same.

    Text with a quote or a backslash goes as the hexadecimal literal that PyMySQL itself writes for bytes: that means
    the same whether NO_BACKSLASH_ESCAPES is set or not.
    """
    if isinstance(value, str):
        plain = "'" not in value and "\\" not in value
        return f"'{value}'" if plain else f"_utf8mb4 X'{value.encode().hex()}'"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return "NULL" if value is None else repr(value)


def _plain(row: Row, metrics: str) -> str:
    """A container's text up to the host's id, if none of its five names needs care; the time is of our own making."""
    engine, cluster, node, name, status, _, _, _, at = row[:_PLAIN]
    return f"'{engine}','{cluster}','{node}','{name}','{status}',{metrics},'{at}'"


def _careful(row: Row, metrics: str) -> str:
    return f"{','.join(map(literal, row[:5]))},{metrics},'{row[8]}'"


@lru_cache(maxsize=8_192)
def _details(values: Row) -> str:
    """Cached: of one report to the next hardly any container's details change."""
    return ",".join(map(literal, values))


def _packets(batch: Sequence[Prepared], limit: int) -> Iterator[str]:
    """Joins the reports' rows into VALUES lists of at most `limit` bytes."""
    packet: list[str] = []
    size = 0
    for text, weight in _pieces(batch, limit):
        size += weight
        if packet and size > limit:
            yield ",".join(packet)
            packet, size = [], weight
        packet.append(text)
    if packet:
        yield ",".join(packet)


def _pieces(batch: Sequence[Prepared], limit: int) -> Iterator[tuple[str, int]]:
    """The rows of each report in one piece, or of one that is larger than a packet one by one; with their bytes."""
    for report in batch:
        tail = f",{report.host_id},'{time_text(report.sampled_at)}')"
        if not report.containers:
            continue
        if report.size <= limit:
            yield f"({report.containers.replace(_BREAK, f'{tail},(')}{tail}", report.size
        else:
            rows = (f"({row}{tail}" for row in report.containers.split(_BREAK))
            yield from ((row, byte_count(row) + 1) for row in rows)


def _report(report: Prepared) -> str:
    digests = f"{literal(report.report_key)},{literal(report.content_hash)}"
    host = ",".join(map(literal, report.host))
    moments = f"'{time_text(report.sampled_at)}',{digests},'{time_text(report.received_at)}'"
    return f"({report.host_id},{moments},{host},{report.containers_count})"


def _run(connection: Connection, statement: str) -> None:
    """Sends the text as it is: `%` in a name must not meet the driver's formatting."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def without_values(record: logging.LogRecord) -> bool:
    """Cuts the reports' values out of an echoed statement: they travel as its text, where others have parameters."""
    for begin in (CONTAINERS, DETAILS, REPORTS, PENDING, UPDATE, LOCK):
        if isinstance(record.msg, str) and record.msg.startswith(begin):
            record.msg = f"{begin}..."
    return True


class Statements:
    """The five statements of a batch."""

    def finish(self, rows: list[Row]) -> str:
        """The rows' text up to the host's id. JSON writes numbers and null as SQL does, and many at once."""
        metrics = to_json([row[5:8] for row in rows]).decode()[2:-2].split("],[")
        texts = list(map(_plain, rows, metrics))
        text = _BREAK.join(texts)
        if text.count("'") != QUOTES * len(rows) or "\\" in text:
            texts = list(map(_careful, rows, metrics))
            text = _BREAK.join(texts)
        if not rows or len(rows[0]) == _PLAIN:
            return text
        return _BREAK.join(f"{plain},{_details(row[_PLAIN:])}" for plain, row in zip(texts, rows, strict=True))

    def lock_hosts(self, connection: Connection, ids: Sequence[int], *, skip_locked: bool) -> dict[int, Held]:
        """Locks hosts in the order of the primary key, by which they are read."""
        statement = f"{LOCK}{','.join(map(str, ids))}) FOR UPDATE{' SKIP LOCKED' if skip_locked else ''}"
        found = connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).scalar_one()
        return {id_: Held(*values) for id_, *values in json.loads(found or "[]")}

    def insert_reports(self, connection: Connection, batch: Sequence[Prepared]) -> None:
        """One statement for all reports."""
        _run(connection, REPORTS + ",".join(map(_report, batch)))

    def insert_containers(self, connection: Connection, batch: Sequence[Prepared], packet: int) -> None:
        """One statement a packet."""
        for detailed, begin in ((False, CONTAINERS), (True, DETAILS)):
            for values in _packets([report for report in batch if report.detailed is detailed], packet):
                _run(connection, begin + values)

    def insert_pending(self, connection: Connection, minutes: Sequence[tuple[int, str]]) -> None:
        """One statement for all minutes."""
        _run(connection, PENDING + ",".join(f"({host_id},'{minute}')" for host_id, minute in minutes))

    def update_hosts(self, connection: Connection, moves: Sequence[Row]) -> None:
        """One statement for all hosts. The rows first, the hosts by key: else a small table would be locked whole."""
        rows = f"{literal(to_json(moves).decode())}, '$[*]' COLUMNS ({_COLUMNS})) v"
        _run(connection, f"{UPDATE}{rows} STRAIGHT_JOIN hosts h FORCE INDEX (PRIMARY) ON h.id = v.id SET {_SET}")
