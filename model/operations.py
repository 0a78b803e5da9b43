"""What is answered to those who keep the server running."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class DatabaseHealth(BaseModel):
    """The database as the last probe saw it."""

    status: Literal["up", "down", "read_only", "starting"]
    engine: str
    version: str | None
    durability: Literal["full", "relaxed"] | None
    warning: str | None


class HealthOut(BaseModel):
    """Whether this process can take reports."""

    status: Literal["ok", "unavailable"]
    timestamp: str
    version: str
    uptime_s: float
    database: DatabaseHealth
    queue_depth: int
    last_commit_age_s: float | None
    security: Literal["off", "observe", "enforce"]


class LiveOut(BaseModel):
    """That the process runs."""

    status: Literal["alive"]


class SettingOut(BaseModel):
    """One setting in force."""

    value: Any
    source: Literal["default", "file", "environment"]


class ServiceOut(BaseModel):
    """What this service is and where to go from here."""

    name: str
    version: str
    description: str
    links: dict[str, str]


class AgentOut(BaseModel):
    """How the agent of a host reports; moments are UTC with `Z`."""

    host_id: int
    host_name: str
    address: str = Field(description="where its newest report came from")
    agent: str | None = Field(description="what it calls itself: the header User-Agent")
    token_id: str | None = Field(description="whose token its newest report showed; null: none")
    first_seen: str = Field(description="since when this is noted")
    last_seen: str
    interval_s: float | None = Field(description="its cadence")
    reports: int = Field(description="stored since first_seen")
    repeats: int = Field(description="of reports that were stored already")
    gaps: int = Field(description="silences of more than two and a half of its usual intervals")
    refused: int
    last_refusal: str | None = Field(description="the result code")
    refused_at: str | None
    skew_s: float | None = Field(description="what its clock is ahead by; null: it tells no time")
    utc_offset: str | None = Field(description="the zone that its get_datetime seems to be in", examples=["+09:00"])


class QuarantinedOut(BaseModel):
    """A report that was refused."""

    id: int
    received_at: str = Field(description="UTC")
    path: str = Field(description="where it was sent")
    host_name: str | None = Field(description="of which host it seems to be")
    address: str
    token_id: str | None
    code: str = Field(description="the result code that its agent got")
    message: str
    size: int = Field(description="bytes, inflated")
    whole: bool = Field(description="whether its body is kept: up to 65,535 bytes are")
    idempotency_key: str | None = Field(description="the key that it was sent with")
    replayed_at: str | None = Field(description="when an admin had it stored after all, or found that it was")


class QuarantinedWhole(QuarantinedOut):
    """The same with its body."""

    body: str | None


class TableOut(BaseModel):
    """One table of the database."""

    name: str
    rows: int
    rows_estimated: bool = Field(description="counted in a part only, where there are many rows, hosts or series")
    bytes: int = Field(description="with its indexes; on SQLite a share of all by what rows of the table usually take")
    bytes_per_sample: float | None = Field(description="of an aggregate: of each sample in it; null without samples")
    growth_bytes_per_day: int
    oldest: str | None = Field(description="UTC, hosts' last states aside; null where time has no part or nothing is")
    newest: str | None = Field(description="UTC")


class StorageOut(BaseModel):
    """What the database takes."""

    measured_at: str = Field(description="UTC")
    used_bytes: int = Field(description="pages that hold something; a file or tablespace keeps those that were freed")
    limit_bytes: int | None = Field(description="[monitoring] max_database_gib; null: none")
    guard: Literal["off", "below", "over", "exhausted"] = Field(
        description="`over`: what is kept is being shortened; `exhausted`: over, and nothing more may be removed"
    )
    growth_bytes_per_day: int = Field(description="what the last day brought without what the next one removes")
    days_until_limit: float | None = Field(description="null: never, as it seems now, or there is no limit")
    tables: list[TableOut]
