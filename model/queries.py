"""The parameters of the lists: an unknown one is refused, for a misspelt filter would silently show everything."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from model.fields import Name, Tags, Word
from model.history import METRICS
from model.schemas import ContainerOut

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
# Years that every engine and every offset can take.
FIRST, LAST = datetime(1970, 1, 2), datetime(2200, 1, 1)  # noqa: DTZ001 - UTC, as the columns are
_LOST_PLUS = re.compile(r"[T ]\d\d:?\d\d[^ ]* \d\d:?\d\d$")


def _with_plus(given: object) -> object:
    """Refuses a moment whose offset has a space where its plus was: a query string means one by the other."""
    if isinstance(given, str) and _LOST_PLUS.search(given):
        raise PydanticCustomError("offset", "should have its + written as %2B")
    return given


def _naive(at: datetime) -> datetime:
    """A moment as the columns hold it: UTC, as it also is without an offset."""
    naive = at.replace(tzinfo=None)
    if FIRST <= naive < LAST:
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    raise PydanticCustomError("moment", "should be from 1970 to 2200")


Moment = Annotated[
    datetime,
    BeforeValidator(_with_plus),
    AfterValidator(_naive),
    Field(description="ISO 8601; UTC unless it has an offset"),
]
Cursor = Annotated[str, Field(max_length=4096, pattern=r"^[A-Za-z0-9_-]+$")]


class Paged(BaseModel):
    """What every list takes that is given in pages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(MAX_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: Cursor | None = Field(None, description="from the Link header of the page before")


class AgentQuery(Paged):
    """What the list of agents takes."""

    q: Word | None = Field(None, description="part of the host's name; case does not matter")
    host_name: Word | None = Field(None, description="exactly this host")
    with_token: bool | None = Field(None, description="whether the newest report showed a token")


class ListQuery(Paged):
    """What the lists of hosts and of containers take."""

    at: Moment | None = Field(None, description="the state at this moment (ISO 8601, UTC unless it has an offset)")
    q: Word | None = Field(None, description="part of the name; case does not matter, % and _ are letters")
    host_name: Word | None = Field(None, description="exactly this host")
    host_id: HostId | None = None
    cluster_name: Word | None = None
    node_name: Word | None = None
    engine_type: Word | None = None
    tag: Tags = Field([], description="of hosts that have this tag; given several times, all of them")


class HostQuery(ListQuery):
    """The list of hosts; the filters on containers mean hosts that have one such now."""

    sort: HostSort = "host_name"
    status: Literal["online", "offline"] | None = None


_COLUMN = f"({'|'.join(ContainerOut.model_fields)})"


class ContainerQuery(ListQuery):
    """The lists of containers; `status` is the engine's own word."""

    limit: int = Field(1_000, ge=1, le=MAX_LIMIT)
    sort: ContainerSort = "host_name"
    status: Word | None = None
    columns: str | None = Field(
        None,
        pattern=f"^{_COLUMN}(,{_COLUMN}){{0,{len(ContainerOut.model_fields) - 1}}}$",
        description="of CSV and NDJSON: these and no others, in this order, separated by commas",
    )

    @property
    def chosen(self) -> list[str] | None:
        """The columns of a file, each once; None for all."""
        return list(dict.fromkeys(self.columns.split(","))) if self.columns else None


# What `step=auto` chooses from: as few points as fit, of a length that people know.
STEPS_S = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800)
AUTO_POINTS, MAX_POINTS = 1_000, 10_000
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}


_METRIC = f"({'|'.join(METRICS)})"


def _span(first: datetime | None, to: datetime, usual: timedelta) -> tuple[datetime, datetime]:
    first = first or to - usual
    if first >= to:
        raise ValueError("from: should be before to")
    return first, to


class HistoryQuery(BaseModel):
    """Whose past, from when to when, in which steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host_id: HostId | None = Field(None, description="needed unless a cluster is named")
    container_name: Name | None = Field(None, description="without it the host's own series")
    of: Literal["containers"] | None = Field(None, description="the sum over all containers of the host")
    cluster_name: Word | None = Field(
        None, description="the sum over the containers that are in this cluster now, of all hosts or of one"
    )
    engine_type: Word | None = Field(None, description="without it the newest that had a container of this name")
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

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        """A host, one of its containers, or a sum; moments are shared only by the samples of one host."""
        if self.host_id is None and self.cluster_name is None:
            raise PydanticCustomError("whose", "host_id or cluster_name: one of them is needed")
        if self.engine_type is not None and self.container_name is None:
            raise PydanticCustomError("whose", "engine_type: is of a container_name")
        if self.container_name is not None and self.sums:
            raise PydanticCustomError("whose", "container_name: is one container, and not a sum")
        if self.step == "raw" and self.host_id is None:
            raise PydanticCustomError("step", "step: raw is of one host")
        return self

    @property
    def sums(self) -> bool:
        """Whether the sum over several containers is asked for."""
        return self.of is not None or self.cluster_name is not None

    @property
    def _given_s(self) -> int:
        return int(self.step[:-1]) * _UNITS[self.step[-1]]

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to before when; raises ValueError if that is nothing."""
        return _span(self.from_, self.to or now, timedelta(hours=1))

    def step_s(self, span: tuple[datetime, datetime], most: float = MAX_POINTS) -> int:
        """Seconds, 0 for every sample; raises ValueError for more than `most` points."""
        length_s = (span[1] - span[0]).total_seconds()
        if self.step == "auto":
            touched = 2  # steps that the span only touches, at both ends
            return next((step for step in STEPS_S if length_s / step < AUTO_POINTS - touched), STEPS_S[-1])
        if self.step == "raw":
            return 0
        step_s = self._given_s
        if length_s / step_s > most:
            raise ValueError(f"step: should be longer, for at most {most} points")
        return step_s


EventKind = Literal["first_seen", "returned", "vanished", "status", "restarted", "image", "dark", "back"]


class EventQuery(Paged):
    """Which events, the newest first."""

    limit: int = Field(100, ge=1, le=MAX_LIMIT)
    kind: EventKind | None = None
    host_id: HostId | None = None
    host_name: Word | None = Field(None, description="exactly this host")
    container_name: Word | None = Field(None, description="exactly this container")
    engine_type: Word | None = None
    from_: Moment | None = Field(None, alias="from", description="default: from the first one kept")
    to: Moment | None = Field(None, description="before this moment; default: to the newest")

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.from_ and self.to and self.from_ >= self.to:
            raise PydanticCustomError("span", "from: should be before to")
        return self


class DiffQuery(BaseModel):
    """Between which moments, and of which host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_: Moment | None = Field(None, alias="from", description="default: a day before `to`")
    to: Moment | None = Field(None, description="default: now")
    host_id: HostId | None = Field(None, description="default: all hosts")
    limit: int = Field(20, ge=1, le=1_000, description="containers that each part shows")

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """The two moments; raises ValueError unless the first is before the second."""
        return _span(self.from_, self.to or now, timedelta(days=1))
