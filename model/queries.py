"""The parameters of the lists: an unknown one is refused, for a misspelt filter would silently show everything."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from model.fields import Word
from model.history import METRICS

MAX_LIMIT = 10_000
MAX_ID = 2**63 - 1

HostSort = Literal[
    "host_name",
    "-host_name",
    "id",
    "-id",
    "cpu_percentage",
    "-cpu_percentage",
    "memory_usage",
    "-memory_usage",
    "memory_percentage",
    "-memory_percentage",
    "containers_count",
    "-containers_count",
    "containers_running",
    "-containers_running",
    "last_seen",
    "-last_seen",
]
ContainerSort = Literal[
    "host_name",
    "-host_name",
    "container_name",
    "-container_name",
    "status",
    "-status",
    "cpu_percentage",
    "-cpu_percentage",
    "memory_usage",
    "-memory_usage",
    "memory_percentage",
    "-memory_percentage",
]

HostId = Annotated[int, Field(ge=1, le=MAX_ID)]
Cursor = Annotated[str, Field(max_length=4096, pattern=r"^[A-Za-z0-9_-]+$")]


class ListQuery(BaseModel):
    """What every list takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Cursor | None = Field(None, description="from the Link header of the page before")
    q: Word | None = Field(None, description="part of the name; case does not matter, % and _ are letters")
    host_name: Word | None = Field(None, description="exactly this host")
    host_id: HostId | None = None
    cluster_name: Word | None = None
    node_name: Word | None = None
    engine_type: Word | None = None
    limit: int = Field(MAX_LIMIT, ge=1, le=MAX_LIMIT)


class HostQuery(ListQuery):
    """The list of hosts; the filters on containers mean hosts that have one such now."""

    sort: HostSort = "host_name"
    status: Literal["online", "offline"] | None = None


class ContainerQuery(ListQuery):
    """The lists of containers; `status` is the engine's own word."""

    limit: int = Field(1_000, ge=1, le=MAX_LIMIT)
    sort: ContainerSort = "host_name"
    status: Word | None = None


# What `step=auto` chooses from: as few points as fit, of a length that people know.
STEPS_S = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800)
AUTO_POINTS, MAX_POINTS = 1_000, 10_000
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}


def _naive(at: datetime) -> datetime:
    """A moment as the columns hold it: UTC, as it also is without an offset."""
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


_METRIC = f"({'|'.join(METRICS)})"
Moment = Annotated[datetime, AfterValidator(_naive), Field(description="ISO 8601; UTC unless it has an offset")]


class HistoryQuery(BaseModel):
    """Whose past, from when to when, in which steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host_id: HostId
    container_name: Word | None = Field(None, description="without it the host's own series")
    engine_type: Word | None = Field(None, description="needed only where two engines have a container of this name")
    from_: Moment | None = Field(None, alias="from", description="default: an hour before `to`")
    to: Moment | None = Field(None, description="default: now")
    step: str = Field(
        "auto", pattern=r"^(auto|raw|[1-9][0-9]{0,4}[mhd])$", description="`auto`, `raw`, or as `5m`, `6h`, `1d`"
    )
    metrics: str = Field(
        ",".join(METRICS), pattern=f"^{_METRIC}(,{_METRIC}){{0,9}}$", description="separated by commas"
    )

    @model_validator(mode="after")
    def _at_most_a_week(self) -> Self:
        """A step is no longer than a week; its unit makes it a whole multiple of the finest tier."""
        if self.step not in ("auto", "raw") and self._given_s > STEPS_S[-1]:
            raise PydanticCustomError("step", "step: should be at most 7d")
        return self

    @property
    def _given_s(self) -> int:
        return int(self.step[:-1]) * _UNITS[self.step[-1]]

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to before when; raises ValueError if that is nothing."""
        to = self.to or now
        first = self.from_ or to - timedelta(hours=1)
        if first >= to:
            raise ValueError("from: should be before to")
        return first, to

    def step_s(self, span: tuple[datetime, datetime], most: float = MAX_POINTS) -> int:
        """Seconds, 0 for every sample; raises ValueError for more than `most` points."""
        length_s = (span[1] - span[0]).total_seconds()
        if self.step == "auto":
            return next((step for step in STEPS_S if length_s / step < AUTO_POINTS), STEPS_S[-1])
        if self.step == "raw":
            return 0
        step_s = self._given_s
        if length_s / step_s > most:
            raise ValueError(f"step: should be longer, for at most {most} points")
        return step_s
