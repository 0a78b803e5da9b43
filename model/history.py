"""The tables of the past: series, their aggregates at three resolutions, what is due to be aggregated, and events.

A bucket belongs to a series and a span of time; sums, least and greatest values are over the samples that had one.
"""

from typing import Any

from sqlalchemy import Column, Date, DateTime, Double, ForeignKey, Index, Integer, Table

from model.models import INNODB, Id, Moment, Name, metadata, text_of

METRICS = ("cpu_percentage", "memory_usage", "memory_percentage")
# Seconds a bucket, the finest first.
TIERS = (60, 600, 3_600)

# What an aggregate refers to: a container of a host by its engine and name, which outlives every container of that
# name, or with empty texts the host itself. `first_at` is when it first appeared. `last_on` is the newest
# day of which it has rows or aggregates, by which a host's names of long ago are left alone.
series = Table(
    "series",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("host_id", Id, ForeignKey("hosts.id", name="fk_series_host"), nullable=False),
    Column("engine_type", Name, nullable=False),
    Column("container_name", Name, nullable=False),
    Column("last_on", Date, nullable=False),
    Column("first_at", Moment),
    Index("uq_series_name", "host_id", "engine_type", "container_name", unique=True),
    Index("ix_series_last_on", "host_id", "last_on"),
    **INNODB,
)


def _aggregates() -> list[Column[Any]]:
    """Of each metric its sum, its least and greatest value, and how many samples had none."""
    return [
        column
        for metric in METRICS
        for column in (
            Column(f"{metric}_sum", Double),
            Column(f"{metric}_min", Double),
            Column(f"{metric}_max", Double),
            Column(f"{metric}_nulls", Integer),
        )
    ]


def _tier(seconds: int) -> Table:
    """`nulls` and `status` are NULL where there is nothing to say: as a rule a metric has a value in every sample.

    `interval_s` is the host's own cadence, in the rows of the host's own series only.
    """
    return Table(
        f"rollup_{seconds}",
        metadata,
        Column("series_id", Id, primary_key=True, autoincrement=False),
        Column("begins_at", DateTime, primary_key=True),
        Column("samples", Integer, nullable=False),
        *_aggregates(),
        Column("status", Name),
        Column("interval_s", Double),
        sqlite_with_rowid=False,
        **INNODB,
    )


rollups = {seconds: _tier(seconds) for seconds in TIERS}

# Buckets of the coarser tiers that are out of date, as `rollup_pending` names those of the finest.
rollup_due = Table(
    "rollup_due",
    metadata,
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("host_id", Id, primary_key=True, autoincrement=False),
    Column("begins_at", DateTime, primary_key=True),
    sqlite_with_rowid=False,
    **INNODB,
)

# Kinds of events. One that appeared is told as seen for the first time, or as having returned.
APPEARED, VANISHED, STATUS, RESTARTED, IMAGE = OF_CONTAINERS = ("appeared", "vanished", "status", "restarted", "image")
DARK, BACK = OF_HOSTS = ("dark", "back")

# What happened to a container between two reports of its host, at the moment of the later one; and when a host fell
# silent or was back, with the series of the host itself. The key says what an event is: made again, it is the same.
events = Table(
    "events",
    metadata,
    Column("host_id", Id, ForeignKey("hosts.id", name="fk_events_host"), primary_key=True, autoincrement=False),
    Column("at", Moment, primary_key=True),
    Column("kind", text_of(16), primary_key=True),
    Column("series_id", Id, primary_key=True, autoincrement=False),
    Column("from_value", Name),
    Column("to_value", Name),
    Column("details", text_of(1024)),
    Index("ix_events_at", "at"),
    Index("ix_events_kind_at", "kind", "at"),
    Index("ix_events_series_at", "series_id", "at"),
    sqlite_with_rowid=False,
    **INNODB,
)

# Events that whoever is on call has not been told of yet.
webhook_calls = Table(
    "webhook_calls",
    metadata,
    Column("host_id", Id, primary_key=True, autoincrement=False),
    Column("at", Moment, primary_key=True),
    Column("kind", text_of(16), primary_key=True),
    sqlite_with_rowid=False,
    **INNODB,
)
