"""What is asked and answered of the whole fleet at once."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TRENDS = 100
_ID = r"[1-9][0-9]{0,17}"


class FleetQuery(BaseModel):
    """Since which snapshot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    changed_since: str | None = Field(None, max_length=64, description="the `snapshot` of an earlier answer")


class TrendQuery(BaseModel):
    """Whose last hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host_ids: str | None = Field(
        None,
        pattern=f"^{_ID}(,{_ID}){{0,{MAX_TRENDS - 1}}}$",
        description="separated by commas, at most 100; without it all hosts together",
        examples=["1,2"],
    )
    of: Literal["containers"] | None = Field(None, description="each container of the one host instead of the host")

    @property
    def ids(self) -> list[int]:
        """The hosts that are asked for."""
        return [int(text) for text in self.host_ids.split(",")] if self.host_ids else []


class FleetHost(BaseModel):
    """A host in the columns that a glance takes."""

    id: int
    host_name: str
    status: Literal["online", "offline"]
    cpu_percentage: float | None = Field(description="of all its cores")
    cpu_cores: int | None
    memory_usage: float | None = Field(description="GiB")
    memory_percentage: float | None
    containers_count: int
    containers_running: int
    last_seen: str = Field(description="UTC")
    tags: list[str]


class Totals(BaseModel):
    """Sums over the hosts that are online and their containers."""

    hosts: dict[Literal["online", "offline"], int]
    containers: dict[str, int] = Field(description='by the engine\'s own word; "" where an agent gave none')
    cpu_percentage: float | None = Field(description="of all cores")
    cpu_cores: int
    memory_percentage: float | None = Field(description="of the hosts that tell their share")
    memory_usage: float = Field(description="GiB")
    memory_total: float = Field(description="GiB, of the hosts that tell their share")


class FleetOut(BaseModel):
    """The fleet, or what changed of it."""

    snapshot: str = Field(description="for `changed_since`; unknown to other processes, which then tell everything")
    full: bool = Field(description="whether every host is there, not only those that changed")
    totals: Totals
    hosts: list[FleetHost]
    gone: list[int] = Field(description="hosts that were deleted since; empty where `full`")


class TrendOut(BaseModel):
    """One series of the last hour; null where a minute has no samples or is not aggregated yet."""

    host_id: int | None = Field(description="null for all hosts together")
    engine_type: str | None = Field(description="null for a host")
    container_name: str | None
    cpu_percentage: list[float | None] = Field(description="61 minutes; of a container in % of one core")
    memory_percentage: list[float | None]


class TrendsOut(BaseModel):
    """Series that begin together and have a value a minute."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: str = Field(alias="from", description="UTC, the first minute", examples=["2025-06-23T03:02:00Z"])
    step: Literal["1m"]
    series: list[TrendOut]
