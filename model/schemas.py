"""What travels on the wire: the agents' reports and the operators' answers."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from model.fields import Age, Count, ExitCode, Metric, Name, Tags, Total, Word
from model.times import AgentTime, EngineTime

MAX_CONTAINERS = 2_000
MAX_BATCH = 500

SAMPLE: dict[str, Any] = {
    "host": {
        "host_name": "DESKTOP-ZINOPC",
        "cpu_percentage": 3.9,
        "cpu_cores": 16,
        "cpu_threads": 32,
        "memory_usage": 18.1,
        "memory_percentage": 57.9,
        "get_datetime": "2025-06-23 03:02:50",
    },
    "containers": [
        {
            "engine_type": "docker",
            "cluster_name": "DESKTOP-ZINOPC",
            "node_name": "DESKTOP-ZINOPC",
            "container_name": name,
            "status": status,
            "cpu_percentage": cpu,
            "memory_usage": memory,
            "memory_percentage": percentage,
            "get_datetime": "2025-06-23 03:02:47",
        }
        for name, status, cpu, memory, percentage in (
            ("tomcat3", "exited", 0, 0, 0),
            ("nginx", "running", 1.2, 0.1, 0.3),
        )
    ],
}


class HostSample(BaseModel):
    """What an agent says of its host: memory and disks in GiB, traffic in bytes since its start, % of all of it."""

    host_name: Name
    cpu_percentage: Metric = None
    cpu_cores: Count = None
    cpu_threads: Count = None
    memory_usage: Metric = None
    memory_percentage: Metric = None
    get_datetime: AgentTime | None = None
    os: Word | None = None
    kernel: Word | None = None
    uptime_s: Total = None
    load1: Metric = None
    disk_usage: Metric = None
    disk_total: Metric = None
    network_received: Total = None
    network_sent: Total = None


class ContainerSample(TypedDict):
    """What an agent says of one container: CPU in % of one core as `docker stats` counts, `memory_usage` in GiB.

    A typed dictionary, not a model: with models a usual report of 20 costs a quarter more (`benchmarks/validation.py`).
    """

    container_name: Name
    engine_type: NotRequired[Word | None]
    cluster_name: NotRequired[Name | None]
    node_name: NotRequired[Name | None]
    status: NotRequired[Word | None]
    cpu_percentage: NotRequired[Metric]
    memory_usage: NotRequired[Metric]
    memory_percentage: NotRequired[Metric]
    get_datetime: NotRequired[AgentTime | None]
    container_id: NotRequired[Word | None]
    image: NotRequired[Word | None]
    restart_count: NotRequired[Count]
    exit_code: NotRequired[ExitCode]
    oom_killed: NotRequired[Annotated[bool, Field(strict=True)] | None]
    health: NotRequired[Word | None]
    started_at: NotRequired[EngineTime]


class Report(BaseModel):
    """One agent's report: its host and the containers on it. Unknown fields are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [SAMPLE]})

    host: HostSample
    # Of several wrong containers only the first is told: collecting thousands of errors would hold the event loop.
    containers: Annotated[list[ContainerSample], Field(max_length=MAX_CONTAINERS, fail_fast=True)] | None = None
    age_s: Age = Field(0.0, description="seconds since the measurement, by the agent's monotonic clock")


class LegacyReport(Report):
    """A report in the old agents' words: `node_name` serves as the host's name, and the host's fields may be flat."""

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, data: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Makes the one nested form of the four that old agents send."""
        if not isinstance(data, dict):
            return data
        host = data.get("host", data)
        if isinstance(host, dict) and host.get("host_name") is None and host.get("node_name") is not None:
            host = {**host, "host_name": host["node_name"]}
        return {**data, "host": host}


class Batch(BaseModel):
    """Several reports in one request; each is judged by itself, so their shape is checked one by one."""

    reports: list[Any] = Field(max_length=MAX_BATCH)


class BatchItem(Report):
    """One report of a batch."""

    idempotency_key: str | None = Field(None, min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")


class StoredOut(BaseModel):
    """What was committed."""

    host_id: int = Field(ge=1, examples=[1])
    containers_count: int = Field(ge=0, examples=[2])
    timestamp: str = Field(description="server time in [app] timezone", examples=["2025-01-23T03:02:50"])


class BatchResult(BaseModel):
    """What became of one report of a batch."""

    resultCode: str  # noqa: N815 - the owner's wire name
    message: str
    host_id: int | None
    containers_count: int | None
    replayed: bool


class BatchOut(BaseModel):
    """What became of each report, in the order they were sent."""

    results: list[BatchResult]


Resolution = Annotated[
    Literal["raw", "1m", "10m", "1h"],
    Field(description="raw: a report; else averages over the minute, ten minutes or hour that hold the moment `at`"),
]


class TagsIn(BaseModel):
    """The tags that a host is to have, and no others."""

    model_config = ConfigDict(extra="forbid")

    tags: Tags


class TagsOut(BaseModel):
    """The tags that a host has now, in the order of their letters, each once."""

    tags: list[str]


class HostOut(BaseModel):
    """A host and its latest state, or the one that it had at the moment asked for."""

    id: int
    host_name: str
    cpu_percentage: float | None
    cpu_cores: int | None
    cpu_threads: int | None
    memory_usage: float | None = Field(description="GiB")
    memory_percentage: float | None
    get_datetime: str | None = Field(description="as the agent sent it", examples=["2025-06-23T03:02:50"])
    status: Literal["online", "offline"] = Field(description="now, or at the moment asked for")
    last_seen: str | None = Field(description="UTC; null of an aggregate", examples=["2025-06-23T03:02:50.123456Z"])
    sampled_at: str | None = Field(description="UTC; of an aggregate when it begins")
    resolution: Resolution
    containers_count: int | None
    containers_running: int | None
    tags: list[str] = Field(description="in the order of their letters")
    os: str | None
    kernel: str | None
    uptime_s: int | None
    load1: float | None
    disk_usage: float | None = Field(description="GiB")
    disk_total: float | None = Field(description="GiB")
    network_received: int | None = Field(description="bytes since the host's start")
    network_sent: int | None = Field(description="bytes since the host's start")


class ContainerOut(BaseModel):
    """One container as its host's newest report has it, of now or of the moment asked for."""

    id: int | None = Field(description="null of an aggregate")
    engine_type: str
    cluster_name: str | None = Field(description="null of an aggregate")
    node_name: str | None = Field(description="null of an aggregate")
    container_name: str
    status: str
    cpu_percentage: float | None = Field(description="% of one core")
    memory_usage: float | None = Field(description="GiB")
    memory_percentage: float | None
    get_datetime: str | None
    host_id: int
    host_name: str
    sampled_at: str = Field(description="UTC; of an aggregate when it begins")
    resolution: Resolution
    container_id: str | None
    image: str | None
    restart_count: int | None
    exit_code: int | None
    oom_killed: bool | None
    health: str | None
    started_at: str | None = Field(description="UTC", examples=["2025-06-23T03:02:50.123456Z"])
