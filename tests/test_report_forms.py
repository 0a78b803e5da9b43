from typing import Any

import pytest
from pydantic import ValidationError

from model.schemas import SAMPLE, Batch, BatchItem, LegacyReport, Report
from tests import service
from tests.service import report


def host(body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What an old agent's report says of its host."""
    return LegacyReport.model_validate(body).host.model_dump(exclude_unset=True)


def refused(model: type[Report | Batch], body: Any) -> bool:  # noqa: ANN401 - JSON
    try:
        model.model_validate(body)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize(
    "body",
    [
        {"host": {"host_name": "h", "cpu_cores": 4}},
        {"host": {"node_name": "h", "cpu_cores": 4}},
        {"host_name": "h", "cpu_cores": 4},
        {"node_name": "h", "cpu_cores": 4},
    ],
)
def test_old_agents_have_four_forms(body: dict[str, Any]) -> None:
    assert host(body) == {"host_name": "h", "cpu_cores": 4}


def test_an_old_agents_host_name_goes_before_its_node_name() -> None:
    assert host({"host_name": "h", "node_name": "n"}) == host({"host": {"host_name": "h", "node_name": "n"}})
    assert host({"host_name": "h", "node_name": "n"}) == {"host_name": "h"}
    assert host({"host_name": None, "node_name": "n"}) == {"host_name": "n"}


def test_an_old_agents_containers_stay() -> None:
    made = LegacyReport.model_validate({"node_name": "h", "containers": [{"container_name": "c"}], "age_s": 3})
    assert (made.containers, made.age_s) == ([{"container_name": "c"}], 3)


@pytest.mark.parametrize("body", [None, 1, "x", [], {}, {"host": None}, {"host": []}, {"host_name": None}])
def test_what_has_no_host_is_refused(body: Any) -> None:  # noqa: ANN401 - JSON
    assert refused(LegacyReport, body)


def test_a_report_says_what_it_knows() -> None:
    made = Report.model_validate({"host": {"host_name": "h"}, "unknown": 1})
    assert (set(made.host.model_dump().values()), made.containers, made.age_s) == ({"h", None}, None, 0.0)


@pytest.mark.parametrize("field", ["host", "containers", "age_s"])
def test_every_part_of_a_report_is_checked(field: str) -> None:
    assert refused(Report, {**report("h"), field: "x"})


def test_a_report_has_2000_containers_at_most() -> None:
    assert not refused(Report, report("h", *["c"] * 2_000))
    assert refused(Report, report("h", *["c"] * 2_001))


def test_of_many_wrong_containers_one_is_told() -> None:
    with pytest.raises(ValidationError) as caught:
        Report.model_validate(report("h", "c", "", "c", "", ""))
    assert [error["loc"][1] for error in caught.value.errors()] == [1]


def test_a_batch_has_500_reports_at_most() -> None:
    assert not refused(Batch, {"reports": [1] * 500})
    assert refused(Batch, {"reports": [1] * 501})


@pytest.mark.parametrize("key", [None, "k", "!~", "k" * 255])
def test_a_report_of_a_batch_may_have_a_key(key: str | None) -> None:
    assert BatchItem.model_validate({**report("h"), "idempotency_key": key}).idempotency_key == key
    assert BatchItem.model_validate(report("h")).idempotency_key is None


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "a\x7f", "키", "k\n", 1])
def test_what_is_no_key_is_refused(key: object) -> None:
    assert refused(BatchItem, {**report("h"), "idempotency_key": key})


def test_the_documented_sample_is_a_report_as_agents_send_it() -> None:
    made = Report.model_validate(SAMPLE)
    assert made.model_dump(include={"host", "containers"}, exclude_unset=True) == SAMPLE
    assert made.host.model_dump(exclude_unset=True) == service.SAMPLE["host"]
    assert [one.keys() for one in made.containers or ()] == [one.keys() for one in service.SAMPLE["containers"]]
    assert [texts(one) for one in SAMPLE["containers"]] == [texts(one) for one in service.SAMPLE["containers"]]


def texts(fields: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def test_the_documented_samples_figures_fit_one_another() -> None:
    host, (exited, busy) = SAMPLE["host"], SAMPLE["containers"]
    assert [exited[name] for name in ("cpu_percentage", "memory_usage", "memory_percentage")] == [0, 0, 0]
    share = busy["memory_usage"] * host["memory_percentage"] / host["memory_usage"]
    assert round(share, 1) == busy["memory_percentage"]
