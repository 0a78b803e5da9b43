"""Why the wire is validated as it is: `python -m benchmarks.validation` times a report of 20 containers.

Beside our models: the same rules with a model for each container, and with a Python function before each metric.
"""

import sys
import time
from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import to_json
from typing_extensions import TypedDict

from model.fields import MAX_METRIC, Age, Count, Metric, Name, Word
from model.schemas import SAMPLE, HostSample, Report
from model.times import AgentTime

CONTAINERS, ROUNDS, REPEATS = 20, 15, 500


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number, not a boolean")  # noqa: TRY004 - Pydantic takes this one
    return value


PythonMetric = Annotated[
    float | None, BeforeValidator(_number), Field(ge=-MAX_METRIC, le=MAX_METRIC, allow_inf_nan=False)
]


class ContainerModel(BaseModel):
    container_name: Name
    engine_type: Word | None = None
    cluster_name: Name | None = None
    node_name: Name | None = None
    status: Word | None = None
    cpu_percentage: Metric = None
    memory_usage: Metric = None
    memory_percentage: Metric = None
    get_datetime: AgentTime | None = None


class ModelReport(BaseModel):
    host: HostSample
    containers: list[ContainerModel] | None = None
    age_s: Age = 0.0


class PythonHost(BaseModel):
    host_name: Name
    cpu_percentage: PythonMetric = None
    cpu_cores: Count = None
    cpu_threads: Count = None
    memory_usage: PythonMetric = None
    memory_percentage: PythonMetric = None
    get_datetime: AgentTime | None = None


class PythonContainer(TypedDict):
    container_name: Name
    engine_type: NotRequired[Word | None]
    cluster_name: NotRequired[Name | None]
    node_name: NotRequired[Name | None]
    status: NotRequired[Word | None]
    cpu_percentage: NotRequired[PythonMetric]
    memory_usage: NotRequired[PythonMetric]
    memory_percentage: NotRequired[PythonMetric]
    get_datetime: NotRequired[AgentTime | None]


class PythonReport(BaseModel):
    host: PythonHost
    containers: list[PythonContainer] | None = None
    age_s: Age = 0.0


MODELS: dict[str, type[BaseModel]] = {
    "as it is": Report,
    "a model per container": ModelReport,
    "Python per metric": PythonReport,
}


def sample() -> bytes:
    """A usual report: every field there, each container with values of its own."""
    container: dict[str, Any] = SAMPLE["containers"][1]
    containers = [{**container, "container_name": f"web-{n}", "cpu_percentage": n / 7} for n in range(CONTAINERS)]
    return to_json({"host": SAMPLE["host"], "containers": containers})


def microseconds(model: type[BaseModel], raw: bytes) -> float:
    """The time of one validation in one round."""
    began = time.perf_counter()
    for _ in range(REPEATS):
        model.model_validate_json(raw, context={"zone": None})
    return (time.perf_counter() - began) / REPEATS * 1e6


def main() -> None:
    """Prints each model's best round, for what else runs only adds, and its ratio to ours; the models take turns."""
    raw = sample()
    rounds = [[microseconds(model, raw) for model in MODELS.values()] for _ in range(ROUNDS)]
    best = [min(times) for times in zip(*rounds, strict=True)]
    lines = [f"a report of {CONTAINERS} containers, {len(raw)} bytes"]
    lines += [f"{name:22} {us:6.1f} us {us / best[0]:6.2f}" for name, us in zip(MODELS, best, strict=True)]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
