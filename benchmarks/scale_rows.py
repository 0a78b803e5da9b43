"""The statements that make up the rows of a fleet's month, from a table of its moments and one of its series.

Their parameters are the first tick and the one behind the last; an hour's events take its number.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Integer,
    MetaData,
    Table,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    not_,
    select,
)

from benchmarks.fleet import CONTAINERS, host_name
from model.history import METRICS, OF_CONTAINERS, OF_HOSTS, events, rollups, series
from model.models import Id, Moment, Name, containers, reports

TICK_S, HOUR_S = 10, 3_600
# Ticks of an hour, and series of a host: its containers and itself.
TICKS, SERIES = HOUR_S // TICK_S, CONTAINERS + 1
# Of so many series one has an event in an hour: 200,000 a month.
SELDOM = 77

temporary = MetaData()
ticks = Table(
    "ticks",
    temporary,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment),
    prefixes=["TEMPORARY"],
)
boxes = Table(
    "boxes",
    temporary,
    Column("series_id", Id, primary_key=True, autoincrement=False),
    Column("host_id", Id),
    Column("place", Integer),
    Column("cluster_name", Name),
    Column("node_name", Name),
    Column("container_name", Name),
    prefixes=["TEMPORARY"],
)
_B, _T = boxes.c, ticks.c
_INSIDE = (_T.n >= bindparam("first"), _T.n < bindparam("last"))
_ITSELF = _B.place == CONTAINERS
# One container of a host has ended, another one now and then.
_STATUS = case((_B.place == 0, "exited"), (and_(_B.place == 1, _T.n % 1_000 < 100), "exited"), else_="running")  # noqa: PLR2004


def cluster_name(host_id: int) -> str:
    """Twenty hosts are one cluster."""
    return f"cluster-{(host_id - 1) // 20:02}"


def container_name(place: int) -> str:
    """The same on every host."""
    return f"service-{place:02}-worker"


def box(host_id: int, place: int) -> dict[str, Any]:
    """One of `boxes`: a container by its place on its host, or behind the last of them the host itself."""
    return {
        "series_id": host_id * SERIES + place,
        "host_id": host_id,
        "place": place,
        "cluster_name": cluster_name(host_id),
        "node_name": host_name(host_id),
        "container_name": container_name(place) if place < CONTAINERS else "",
    }


def of_series() -> Insert:
    """The series themselves."""
    named = (_B.series_id, _B.host_id, case((_ITSELF, ""), else_="docker"), _B.container_name, func.current_date())
    return insert(series).from_select(["id", "host_id", "engine_type", "container_name", "last_on"], select(*named))


def of_samples(ids: range, every: int) -> list[Insert]:
    """Every sample of some hosts, one every so many ticks."""
    whose = _whose(ids, every)
    return [_reports(whose), _containers(whose)]


def of_tier(ids: range, seconds: int, interval_s: int) -> Insert:
    """The buckets of hosts that report at such an interval."""
    samples = seconds // interval_s
    parts = {"sum": float(samples), "min": 0.5, "max": 2.0}
    values = {
        "series_id": _B.series_id,
        "begins_at": _T.at,
        "samples": literal(samples),
        **{f"{name}_{part}": _value(n) * by for n, name in enumerate(METRICS) for part, by in parts.items()},
        "status": case((not_(_ITSELF), _STATUS)),
        "interval_s": case((_ITSELF, float(interval_s))),
    }
    return _written(rollups[seconds], values, _whose(ids, seconds // TICK_S))


def of_events() -> Insert:
    """Those of one hour: each tells something of one of a few series, at a moment of its own."""
    hour = bindparam("hour", type_=Integer)
    values = {
        "host_id": _B.host_id,
        "at": _T.at,
        "kind": _kind(hour),
        "series_id": _B.series_id,
        "from_value": literal("running"),
        "to_value": literal("exited"),
    }
    made = select(*values.values()).join_from(boxes, ticks, _T.n == hour * TICKS + (_B.series_id * 37) % TICKS)
    chosen = (_B.series_id * 7_919 + hour * 31) % SELDOM == 0
    return insert(events).from_select(list(values), made.where(chosen).order_by(_T.n, _B.series_id))


def _whose(ids: range, every: int) -> ColumnElement[bool]:
    return and_(*_INSIDE, _T.n % every == 0, _B.host_id >= ids.start, _B.host_id < ids.stop)


def _reports(whose: ColumnElement[bool]) -> Insert:
    values = {
        "host_id": _B.host_id,
        **dict.fromkeys(("sampled_at", "received_at", "get_datetime"), _T.at),
        **{name: _value(place) for place, name in enumerate(METRICS)},
        "cpu_cores": literal(16),
        "cpu_threads": literal(32),
        "containers_count": literal(CONTAINERS),
    }
    return _written(reports, values, and_(whose, _ITSELF))


def _containers(whose: ColumnElement[bool]) -> Insert:
    values = {
        "engine_type": literal("docker"),
        **{name: _B[name] for name in ("cluster_name", "node_name", "container_name", "host_id")},
        "status": _STATUS,
        **{name: _value(place) for place, name in enumerate(METRICS)},
        **dict.fromkeys(("sampled_at", "get_datetime"), _T.at),
    }
    return _written(containers, values, and_(whose, not_(_ITSELF)))


def _written(table: Table, values: Mapping[str, ColumnElement[Any]], where: ColumnElement[bool]) -> Insert:
    """One moment after the other, and of each one host after the other."""
    return insert(table).from_select(
        list(values), select(*values.values()).join_from(ticks, boxes, where).order_by(_T.n, _B.series_id)
    )


def _value(salt: int) -> ColumnElement[float]:
    """It looks like chance, from 0 to 100."""
    return ((_T.n * 7_919 + _B.series_id * 104_729) % (997 - salt)) * 0.1


def _kind(hour: ColumnElement[int]) -> ColumnElement[str]:
    """A host's are in turns, a container's are all kinds there are."""
    turns = [(and_(_ITSELF, hour % len(OF_HOSTS) == place), kind) for place, kind in enumerate(OF_HOSTS)]
    of_container = (_B.series_id + hour) % len(OF_CONTAINERS)
    return case(*turns, *((of_container == place, kind) for place, kind in enumerate(OF_CONTAINERS)), else_="")
