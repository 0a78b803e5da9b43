import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.intake import INTAKES, host_of, refused, rows, stored, until, unwritten
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.slow


@contextmanager
def paused(service: Service) -> Iterator[Callable[[], int]]:
    """Holds the writer's thread, so that what is posted meanwhile waits in its queue; gives the queue's depth."""
    writer, began, go_on = service.state["writer"], threading.Event(), threading.Event()

    def job(_connection: object) -> None:
        began.set()
        go_on.wait(10)

    async def run() -> None:
        await writer.run(job)

    done = asyncio.run_coroutine_threadsafe(run(), writer._loop)
    assert began.wait(10)
    try:
        yield lambda: writer.depth
    finally:
        go_on.set()
        done.result(10)


@pytest.mark.parametrize("path", INTAKES)
def test_a_repeat_has_the_same_data_and_writes_nothing(service: Service, path: str) -> None:
    body = report(f"repeat{path}", "a", "b", cpu_percentage=1)
    first = service.post(body, path, Idempotency_Key="k")
    with unwritten(service):
        again = service.post(body, path, Idempotency_Key="k")
    assert stored(again) == stored(first)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


def test_without_a_key_each_post_is_a_new_report(service: Service) -> None:
    before = rows(service)[1]
    for _ in range(2):
        assert "idempotent-replayed" not in service.post(report("no-key")).headers
    assert rows(service)[1] == before + 2


@pytest.mark.parametrize(
    "other",
    [
        report("content", "c", cpu_percentage=2),
        report("content", "d", cpu_percentage=1),
        report("content", "c", "c", cpu_percentage=1),
        report("content", {"container_name": "c"}, cpu_percentage=1),
        report("content", "c", cpu_percentage=1, get_datetime="2025-06-23 03:02:50"),
        report("content", "c", cpu_percentage=None),
    ],
)
def test_a_key_reused_with_other_content_is_refused(service: Service, other: dict[str, object]) -> None:
    stored(service.post(report("content", "c", cpu_percentage=1), Idempotency_Key="content"))
    with unwritten(service):
        refused(service.post(other, Idempotency_Key="content"), 422, "KEY_MISMATCH")
    assert host_of(service, "content")["cpu_percentage"] == 1


def test_the_same_content_in_other_words_is_a_repeat(service: Service) -> None:
    host = {"host_name": "words", "cpu_percentage": 4, "cpu_cores": 8, "get_datetime": "2025-06-23 03:02:50"}
    first = stored(service.post({"host": host, "containers": []}, Idempotency_Key="k"))
    words = {"cpu_cores": "8.0", "cpu_percentage": "4.0", "get_datetime": "2025-06-22T18:02:50.7Z", "x": 1}
    with unwritten(service):
        again = service.post({**words, "node_name": " words "}, "/monitor_info", Idempotency_Key="k")
    assert stored(again) == first


def test_the_age_is_not_part_of_the_content(service: Service) -> None:
    first = stored(service.post({**report("aged", "c"), "age_s": 1}, Idempotency_Key="k"))
    before = host_of(service, "aged")
    with unwritten(service):
        again = service.post({**report("aged", "c"), "age_s": 61.5}, Idempotency_Key="k")
    assert (stored(again), host_of(service, "aged")) == (first, before)


def test_another_host_may_use_the_same_key(service: Service) -> None:
    ids = {stored(service.post(report(name), Idempotency_Key="shared"))["host_id"] for name in ("one", "two", "One")}
    assert len(ids) == 3


@pytest.mark.parametrize("path", INTAKES)
@pytest.mark.parametrize("key", [b"", b"a b", b"a\tb", b"a\x7f", b"caf\xc3\xa9", b"\xff", b"x" * 256])
def test_a_bad_key_is_refused(sqlite: Service, path: str, key: bytes) -> None:
    with unwritten(sqlite):
        answer = sqlite.client.post(path, json=report("bad-key"), headers=[(b"Idempotency-Key", key)])
        refused(answer, 400, "BAD_REQUEST")


def test_two_keys_on_one_report_are_refused(sqlite: Service) -> None:
    with unwritten(sqlite):
        headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        refused(sqlite.client.post("/api/resources", json=report("two-keys"), headers=headers), 400, "BAD_REQUEST")


@pytest.mark.parametrize("key", ["!", "~" * 255, "it's", '"quoted"', "back\\slash", "%s", "a,b;c=d"])
def test_any_visible_ascii_is_a_key(service: Service, key: str) -> None:
    body = report("good-key")
    first = stored(service.post(body, Idempotency_Key=key))
    with unwritten(service):
        assert stored(service.post(body, Idempotency_Key=key)) == first


def test_keys_differ_in_case(service: Service) -> None:
    before = rows(service)[1]
    for key in ("key", "KEY"):
        stored(service.post(report("case"), Idempotency_Key=key))
    assert rows(service)[1] == before + 2


def test_a_report_without_a_time_is_still_a_repeat_a_second_later(sqlite: Service) -> None:
    body = report("timeless", {"container_name": "c"})
    first = stored(sqlite.post(body, Idempotency_Key="k"))
    until(lambda: stored(sqlite.post(report("ticking")))["timestamp"] != first["timestamp"])
    again = sqlite.post(body, Idempotency_Key="k")
    assert (stored(again), again.headers["idempotent-replayed"]) == (first, "true")


def test_equal_keys_posted_at_once_are_one_report(service: Service) -> None:
    before = rows(service)[1]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.post(report("at-once", "c"), Idempotency_Key="k"), range(8)))
    first, *others = [stored(answer) for answer in answers]
    assert all(other == first for other in others)
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 7
    assert rows(service)[1] == before + 1


def test_a_repeat_joins_the_report_that_still_waits(service: Service) -> None:
    before = rows(service)[1]
    with ThreadPoolExecutor(2) as pool:
        with paused(service) as depth:
            first = pool.submit(service.post, report("joined", "c"), Idempotency_Key="k")
            until(lambda: depth() == 1)
            second = pool.submit(service.post, report("joined", "c"), Idempotency_Key="k")
            refused(service.post(report("joined", "d"), Idempotency_Key="k"), 422, "KEY_MISMATCH")
            assert depth() == 1
        assert stored(first.result()) == stored(second.result())
    assert rows(service)[1] == before + 1


def test_a_refused_report_leaves_its_key_free(sqlite: Service) -> None:
    refused(sqlite.post(report("free", cpu_cores=-1), Idempotency_Key="k"), 422, "VALIDATION")
    answer = sqlite.post(report("free", cpu_cores=1), Idempotency_Key="k")
    assert stored(answer)
    assert "idempotent-replayed" not in answer.headers


def test_keys_outlive_the_server(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    settings = settings_for(new_url(engine), tmp_path)
    with running(settings) as service:
        first = stored(service.post(report("restarted", "c"), Idempotency_Key="k"))
    with running(settings) as service:
        with unwritten(service):
            again = service.post(report("restarted", "c"), Idempotency_Key="k")
            refused(service.post(report("restarted", "d"), Idempotency_Key="k"), 422, "KEY_MISMATCH")
        assert (stored(again), again.headers["idempotent-replayed"]) == (first, "true")
