from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from database.dialect_mysql_text import literal
from tests.conftest import SERVER_CLASSES
from tests.fuzzing import FIXED, HOSTILE, names
from tests.servers import Server, available
from tests.service import Service, running, settings_for

pytestmark = pytest.mark.slow

TEXTS = ("container_name", "engine_type", "cluster_name", "node_name", "status")
MODES = ("", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES")
named = st.fixed_dictionaries(dict.fromkeys(TEXTS, names))


@pytest.fixture(scope="module", params=[name for name in SERVER_CLASSES if available()[name] is None])
def literal_minded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on a server where a backslash is a letter like any other unless a session says otherwise."""
    with ExitStack() as stack:
        server = stack.enter_context(SERVER_CLASSES[request.param]("--sql-mode=NO_BACKSLASH_ESCAPES"))
        settings = settings_for(server.url(server.create_database()), tmp_path_factory.mktemp("service"))
        yield stack.enter_context(running(settings))


def survive(service: Service) -> None:
    """Sends reports full of accepted names and reads every one of them back."""

    @settings(FIXED, max_examples=40)
    @given(host=names, containers=st.lists(named, max_size=12))
    def check(host: str, containers: list[dict[str, str]]) -> None:
        answer = service.post({"host": {"host_name": host}, "containers": containers})
        assert answer.status_code == 200, answer.text
        address = f"/api/hosts/{answer.json()['data']['host_id']}"
        assert service.data(address)["host_name"] == host.strip()
        shown = [tuple(one[field] for field in TEXTS) for one in service.data(f"{address}/containers")]
        assert sorted(shown) == sorted(tuple(one[field].strip() for field in TEXTS) for one in containers)

    check()


def test_every_accepted_name_reads_back_equal(service: Service) -> None:
    survive(service)


@pytest.mark.slow
def test_every_accepted_name_reads_back_equal_where_backslashes_do_not_escape(literal_minded: Service) -> None:
    survive(literal_minded)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_host_is_found_by_its_name(service: Service, name: str) -> None:
    service.post({"host": {"host_name": name}, "containers": [{"container_name": name}]})
    assert [host["host_name"] for host in service.data("/api/hosts", host_name=name)] == [name]
    assert [one["container_name"] for one in service.data("/api/containers", host_name=name)] == [name]
    assert name in [host["host_name"] for host in service.data("/api/hosts", q=name)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", SERVER_CLASSES)
def test_literal_means_the_same_in_every_mode(servers: Callable[[str], Server], kind: str, mode: str) -> None:
    with closing(servers(kind).admin()) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = %s", (mode,))

        @settings(FIXED, max_examples=60)
        @given(texts=st.lists(names | st.sampled_from(HOSTILE), min_size=1, max_size=20))
        def check(texts: list[str]) -> None:
            cursor.execute(f"SELECT {','.join(map(literal, texts))}")
            assert cursor.fetchone() == tuple(texts)

        check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVER_CLASSES)
def test_literal_of_a_number_reads_back_equal(servers: Callable[[str], Server], kind: str) -> None:
    with closing(servers(kind).admin()) as connection, connection.cursor() as cursor:

        @settings(FIXED, max_examples=200)
        @given(number=st.floats(-1e9, 1e9) | st.integers(0, 2**31 - 1) | st.none())
        def check(number: float | None) -> None:
            cursor.execute(f"SELECT CAST({literal(number)} AS DOUBLE)")
            row: Any = cursor.fetchone()
            assert row == (number,)

        check()
