"""A report as finished rows: what waits in the writer's queue until its batch is written.

Rows are finished at intake, on the event loop, so that the writer's thread only joins them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Row as SqlRow

from model.schemas import ContainerSample, Report
from utils.utils import SECOND

# A row as a statement gives it; its columns are its attributes.
Record = SqlRow[*tuple[Any, ...]]

Value = str | int | float | None
Row = str | tuple[Value, ...]


class Finisher(Protocol):
    """What a dialect does to a container's row at intake."""

    def finish(self, values: tuple[Value, ...]) -> Row:
        """Finishes the row as far as it is known."""

    def weigh(self, row: Row) -> int:
        """Its bytes."""


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
RUNNING = "running"
# What a report weighs in the queue besides its containers.
REPORT_BYTES = 512


@dataclass(slots=True, eq=False)
class Prepared:
    """One report, ready to be written.

    `received_at` and `sampled_at` are microseconds since 1970, UTC; `host` is the host's values in the order of
    `HOST_VALUES`; `containers` are rows in the dialect's finished form, without host and moment.
    """

    host_name: str
    host: tuple[Value, ...]
    containers: list[Row]
    size: int
    running: int
    received_at: int
    sampled_at: int
    content_hash: bytes
    report_key: bytes | None
    waiters: list[Any] = field(default_factory=list)
    host_id: int = 0
    maybe_stored: bool = False

    @property
    def awaited(self) -> bool:
        """Whether anyone still waits for the outcome."""
        return any(not waiter.done for waiter in self.waiters)


HOST_VALUES = ("cpu_percentage", "cpu_cores", "cpu_threads", "memory_usage", "memory_percentage", "get_datetime")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was committed for one report; `received_at` in microseconds since 1970, UTC."""

    host_id: int
    containers_count: int
    received_at: int
    replayed: bool = False


def key_of(host_name: str, key: str) -> bytes:
    """The 16 bytes that name a report: a host's key says nothing about another host's."""
    return hashlib.sha256(f"{host_name}\0{key}".encode()).digest()[:16]


def _metric(value: float | None) -> float | None:
    """A metric as it is stored; adding zero turns -0.0 into 0.0, which not every engine keeps apart."""
    return None if value is None else value + 0.0


def _container(sample: ContainerSample, host_name: str, now: str) -> tuple[Value, ...]:
    return (
        sample.get("engine_type") or "docker",
        sample.get("cluster_name") or host_name,
        sample.get("node_name") or host_name,
        sample["container_name"],
        sample.get("status") or "unknown",
        _metric(sample.get("cpu_percentage")),
        _metric(sample.get("memory_usage")),
        _metric(sample.get("memory_percentage")),
        sample.get("get_datetime") or now,
    )


def _host(report: Report, now: str) -> tuple[Value, ...]:
    host = report.host
    return (
        _metric(host.cpu_percentage),
        host.cpu_cores,
        host.cpu_threads,
        _metric(host.memory_usage),
        _metric(host.memory_percentage),
        host.get_datetime or now,
    )


def _content(report: Report, now: str) -> tuple[tuple[Value, ...], list[tuple[Value, ...]]]:
    name = report.host.host_name
    return _host(report, now), [_container(sample, name, now) for sample in report.containers or ()]


def _hash(host: tuple[Value, ...], rows: Sequence[tuple[Value, ...]]) -> bytes:
    return hashlib.sha256(repr((host, rows)).encode()).digest()[:16]


def prepare(report: Report, *, key: str | None, received_at: int, now_local: str, dialect: Finisher) -> Prepared:
    """Finishes a validated report's rows.

    The hash is over the content without the server's own time, so that a repeat that left `get_datetime` out is still
    the same report.
    """
    host, rows = _content(report, "")
    content_hash = _hash(host, rows)
    if not host[-1] or not all(row[-1] for row in rows):
        host, rows = _content(report, now_local)
    finished = [dialect.finish(row) for row in rows]
    return Prepared(
        host_name=report.host.host_name,
        host=host,
        containers=finished,
        size=sum(map(dialect.weigh, finished)) + REPORT_BYTES,
        running=sum(row[4] == RUNNING for row in rows),
        received_at=received_at,
        sampled_at=received_at - int(report.age_s * SECOND),
        content_hash=content_hash,
        report_key=key_of(report.host.host_name, key) if key else None,
    )
