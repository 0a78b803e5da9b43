"""The parameters of the lists: an unknown one is refused, for a misspelt filter would silently show everything."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from model.fields import Word

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


class HostQuery(ListQuery):
    """The list of hosts; the filters on containers mean hosts that have one such now."""

    limit: int = Field(MAX_LIMIT, ge=1, le=MAX_LIMIT)
    sort: HostSort = "host_name"
    status: Literal["online", "offline"] | None = None


class ContainerQuery(ListQuery):
    """The lists of containers; `status` is the engine's own word."""

    limit: int = Field(1_000, ge=1, le=MAX_LIMIT)
    sort: ContainerSort = "host_name"
    status: Word | None = None
