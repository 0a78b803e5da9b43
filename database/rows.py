"""A report as finished rows: what waits in the writer's queue until its batch is written.

Rows are finished at intake, on the event loop, so that the writer's thread only joins them.
"""

import hashlib
import random
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

from pydantic_core import to_json
from sqlalchemy import Row as SqlRow

from model.schemas import ContainerSample, Report
from utils.utils import SECOND

# A row as a statement gives it; its columns are its attributes.
Record = SqlRow[*tuple[Any, ...]]

Value = str | int | float | None
# A container's values in the order of `CONTAINER_COLUMNS`, and of `CONTAINER_DETAILS` if its report has any.
Row = tuple[Value, ...]


class Finisher(Protocol):
    """What a dialect does to a report's containers at intake."""

    def finish(self, rows: list[Row]) -> str:
        """Gives the rows as text, as far as they are known."""


CONTAINER_COLUMNS = (
    "engine_type",
    "cluster_name",
    "node_name",
    "container_name",
    "status",
    "cpu_percentage",
    "memory_usage",
    "memory_percentage",
    "get_datetime",
)
CONTAINER_DETAILS = ("container_id", "image", "restart_count", "exit_code", "oom_killed", "health", "started_at")
HOST_COLUMNS = ("cpu_percentage", "cpu_cores", "cpu_threads", "memory_usage", "memory_percentage", "get_datetime")
HOST_DETAILS = (
    "os",
    "kernel",
    "uptime_s",
    "load1",
    "disk_usage",
    "disk_total",
    "network_received",
    "network_sent",
)
HOST_VALUES = (*HOST_COLUMNS, *HOST_DETAILS)
RUNNING = "running"
_STATUS, _TIME = CONTAINER_COLUMNS.index("status"), CONTAINER_COLUMNS.index("get_datetime")
_HOST_TIME = HOST_COLUMNS.index("get_datetime")
_DETAILS = frozenset(CONTAINER_DETAILS)
# What a report and a row weigh in the queue besides what the agent sent: host, moment, and what stands around them.
REPORT_BYTES = 512
ROW_BYTES = 60
_DIGEST_BYTES = 16


@dataclass(slots=True, eq=False)
class Prepared:
    """One report, ready to be written.

    `received_at` and `sampled_at` are microseconds since 1970, UTC; `host` is the host's values in the order of
    `HOST_VALUES`; `containers` are rows in the dialect's finished form, without host and moment, `detailed` ones with
    their details; `size` in bytes.

    `content_hash` tells a reused key; without a key it is random, so that the writer knows its own row again.
    """

    host_name: str
    host: Row
    containers: str
    containers_count: int
    size: int
    running: int
    received_at: int
    sampled_at: int
    content_hash: bytes
    report_key: bytes | None
    detailed: bool = False
    waiters: list[Any] = field(default_factory=list)
    host_id: int = 0
    maybe_stored: bool = False

    @property
    def awaited(self) -> bool:
        """Whether anyone still waits for the outcome."""
        return any(not waiter.done for waiter in self.waiters)


@dataclass(frozen=True, slots=True)
class Stored:
    """What was committed for one report; `received_at` in microseconds since 1970, UTC."""

    host_id: int
    containers_count: int
    received_at: int
    replayed: bool = False


def key_of(host_name: str, key: str) -> bytes:
    """The 16 bytes that name a report: a host's key says nothing about another host's."""
    return hashlib.sha256(f"{host_name}\0{key}".encode()).digest()[:_DIGEST_BYTES]


def byte_count(text: str) -> int:
    """How many bytes a text has in UTF-8; of most it is known without encoding them."""
    return len(text) if text.isascii() else len(text.encode())


def _metric(value: float | None) -> float | None:
    """A metric as it is stored: -0.0 becomes 0.0, as not every engine keeps them apart."""
    return value or (None if value is None else 0.0)


def _container(sample: ContainerSample, host_name: str, now: str) -> Row:
    return (
        sample.get("engine_type") or "docker",
        sample.get("cluster_name") or host_name,
        sample.get("node_name") or host_name,
        sample["container_name"],
        sample.get("status") or "unknown",
        sample.get("cpu_percentage") or _metric(sample.get("cpu_percentage")),
        sample.get("memory_usage") or _metric(sample.get("memory_usage")),
        sample.get("memory_percentage") or _metric(sample.get("memory_percentage")),
        sample.get("get_datetime") or now,
    )


def _details(sample: ContainerSample) -> Row:
    return (
        sample.get("container_id") or None,
        sample.get("image") or None,
        sample.get("restart_count"),
        sample.get("exit_code"),
        sample.get("oom_killed"),
        sample.get("health") or None,
        sample.get("started_at"),
    )


def _containers(report: Report, now: str, *, detailed: bool) -> list[Row]:
    name, samples = report.host.host_name, report.containers or ()
    if detailed:
        return [_container(sample, name, now) + _details(sample) for sample in samples]
    return [_container(sample, name, now) for sample in samples]


def _host(report: Report, now: str) -> Row:
    host = report.host
    return (
        _metric(host.cpu_percentage),
        host.cpu_cores,
        host.cpu_threads,
        _metric(host.memory_usage),
        _metric(host.memory_percentage),
        host.get_datetime or now,
        host.os or None,
        host.kernel or None,
        host.uptime_s,
        _metric(host.load1),
        _metric(host.disk_usage),
        _metric(host.disk_total),
        host.network_received,
        host.network_sent,
    )


def _hash(host: Row, rows: list[Row]) -> bytes:
    """Hashes a host without details as servers do that know none: a repeat may come after an update."""
    plain = host[: len(HOST_COLUMNS)]
    known = plain if host[len(plain) :].count(None) == len(HOST_DETAILS) else host
    return hashlib.sha256(to_json((known, rows))).digest()[:_DIGEST_BYTES]


def prepare(report: Report, *, key: str | None, received_at: int, now_local: str, dialect: Finisher) -> Prepared:
    """Finishes a validated report's rows; `now_local` stands in for the times that the agent left out.

    The hash is over the content without the server's own time: a repeat that left a time out is the same report.
    """
    detailed = not _DETAILS.isdisjoint(chain.from_iterable(report.containers or ()))
    host, rows = _host(report, ""), _containers(report, "", detailed=detailed)
    content_hash = _hash(host, rows) if key else random.randbytes(_DIGEST_BYTES)  # noqa: S311 - names, keeps no secret
    if not host[_HOST_TIME] or not all(row[_TIME] for row in rows):
        host, rows = _host(report, now_local), _containers(report, now_local, detailed=detailed)
    finished = dialect.finish(rows)
    return Prepared(
        host_name=report.host.host_name,
        host=host,
        containers=finished,
        containers_count=len(rows),
        size=byte_count(finished) + len(rows) * ROW_BYTES + REPORT_BYTES,
        running=[row[_STATUS] for row in rows].count(RUNNING),
        received_at=received_at,
        sampled_at=received_at - int(report.age_s * SECOND),
        content_hash=content_hash,
        report_key=key_of(report.host.host_name, key) if key else None,
        detailed=detailed,
    )
