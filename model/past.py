"""What is answered about the past: series, events, differences."""

from pydantic import BaseModel, ConfigDict, Field

from model.queries import EventKind
from model.schemas import Resolution


class Spread(BaseModel):
    """A metric over one step; null without any value."""

    avg: float | None
    min: float | None = Field(description="null of a sum")
    max: float | None = Field(description="null of a sum")


class PointOut(BaseModel):
    """One step of a series that has samples in it."""

    t: str = Field(description="UTC, when it begins", examples=["2025-06-23T03:02:00Z"])
    samples: int = Field(description="of a sum: reports")
    coverage: float | None = Field(description="samples there are / samples the host's cadence of then would have made")
    status: str | None = Field(description="what a container's last sample said")
    cpu_percentage: Spread | None = Field(description="null if it was not asked for")
    memory_usage: Spread | None
    memory_percentage: Spread | None


class HistoryOut(BaseModel):
    """A series of steps; those without samples are absent."""

    model_config = ConfigDict(serialize_by_alias=True)

    step: str = Field(examples=["1m"])
    from_: str = Field(alias="from", description="UTC")
    to: str = Field(description="UTC")
    points: list[PointOut]


class EventOut(BaseModel):
    """What happened to a host or to one of its containers."""

    model_config = ConfigDict(serialize_by_alias=True)

    host_id: int
    host_name: str
    engine_type: str | None = Field(description="null for what happened to the host itself")
    container_name: str | None
    kind: EventKind = Field(
        description="a container was `first_seen`, `returned` or `vanished`, changed its `status` or `image`, or was "
        "`restarted`; a host went `dark` or was `back`"
    )
    at: str = Field(
        description="UTC: when the report was sampled that tells of it; of `dark` when the host was late, of `back` "
        "when its report came in",
        examples=["2025-06-23T03:02:50.000000Z"],
    )
    from_: str | None = Field(alias="from", description="what it was before: status, image, start, or restarts")
    to: str | None = Field(description="what it is from then on")
    details: dict[str, str] | None = Field(
        description="`by` what a restart is known: `started_at`, `restart_count` or `status`; "
        "of a host when it was `last_seen` before it was silent"
    )


class SideOut(BaseModel):
    """One of two moments: how many containers there were, and the coarsest resolution that answers."""

    at: str = Field(description="UTC")
    resolution: Resolution | None
    containers_count: int


class SeenOut(BaseModel):
    """A container at one of two moments."""

    status: str
    image: str | None = Field(description="null of an aggregate")
    cpu_percentage: float | None
    memory_usage: float | None = Field(description="GiB")
    resolution: Resolution


class PairOut(BaseModel):
    """A container at two moments; null where it was not there."""

    model_config = ConfigDict(serialize_by_alias=True)

    host_id: int
    host_name: str
    engine_type: str
    container_name: str
    from_: SeenOut | None = Field(alias="from")
    to: SeenOut | None


class MoverOut(PairOut):
    """A container whose metric changed."""

    change: float = Field(description="of the metric, with its sign")


class PartOut(BaseModel):
    """How many containers there are, and the first of them by host and name."""

    count: int
    containers: list[PairOut]


class MoversOut(BaseModel):
    """The containers whose metric changed most, the largest change first."""

    cpu_percentage: list[MoverOut]
    memory_usage: list[MoverOut]


class DiffOut(BaseModel):
    """What is different between two moments."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: SideOut = Field(alias="from")
    to: SideOut
    appeared: PartOut
    vanished: PartOut
    changed: PartOut
    movers: MoversOut
