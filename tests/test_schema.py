import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect
from sqlalchemy.schema import CreateTable

from config.config import ROOT
from database import migrating
from database.schema import NotReady, revisions
from model.models import leases, metadata
from tests.schema_engine import Crash, Saboteur, Target, prepare_in_processes, target

pytestmark = pytest.mark.slow

NewUrl = Callable[[str], str]


@pytest.fixture
def empty(engine: str, new_url: NewUrl) -> Iterator[Target]:
    with target(new_url(engine)) as one:
        yield one


@pytest.fixture
def ready(empty: Target) -> Target:
    empty.prepare()
    return empty


def differences(engine: Engine) -> object:
    with engine.begin() as connection:
        return compare_metadata(MigrationContext.configure(connection), metadata)


def definitions(one: Target) -> dict[str, object]:
    """Each table as the server would write it: also what Alembic does not compare, such as collations.

    SQLite keeps the words of each statement; a column that was added stands behind the constraints.
    """
    names = sorted(metadata.tables)
    if one.engine.dialect.name == "sqlite":
        texts = {name: str(one.sql("SELECT sql FROM sqlite_master WHERE tbl_name = :n", n=name)) for name in names}
        return {name: sorted(re.split(r"[\s,()\\n\\t]+", text)) for name, text in texts.items()}
    return {name: in_order(one.sql(f"SHOW CREATE TABLE {name}")[0][1]) for name in names}


def in_order(text: str) -> list[str]:
    """Lines, with the indexes by name: a table that is made from its model makes them in any order."""
    return sorted((line.rstrip(",") for line in text.split("\n")), key=lambda line: line if " KEY " in line else "")


def tables(one: Target) -> set[str]:
    return set(inspect(one.engine).get_table_names())


def test_migrations_make_the_tables_of_the_models(ready: Target) -> None:
    assert differences(ready.engine) == []


def test_migrations_write_them_as_the_models_do(ready: Target, engine: str, new_url: NewUrl) -> None:
    with target(new_url(engine)) as other:
        metadata.create_all(other.engine)
        assert definitions(ready) == definitions(other)


def test_a_ready_schema_costs_one_select(ready: Target) -> None:
    statements: list[str] = []
    event.listen(ready.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    ready.prepare()
    assert [sql.split()[0] for sql in statements if not sql.startswith("BEGIN")] == ["SELECT"]


def test_the_revisions_are_those_of_alembic() -> None:
    scripts = ScriptDirectory(migrating.SCRIPTS)
    assert [*reversed([script.revision for script in scripts.walk_revisions()])] == [*revisions()]


def test_only_who_has_work_to_do_loads_alembic(new_url: NewUrl) -> None:
    program = (
        "import sys\nfrom tests.schema_engine import target\n"
        "with target(sys.argv[1]) as one: one.prepare()\nprint('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", program, new_url("sqlite")]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout for run in runs] == ["True\n", "False\n"]


def test_an_older_process_runs_on_a_newer_schema(ready: Target) -> None:
    ready.sql("UPDATE alembic_version SET version_num = 'not-born-yet'")
    ready.prepare(migrate=False)
    assert ready.sql("SELECT version_num FROM alembic_version") == [("not-born-yet",)]


def test_without_migration_a_start_names_the_command_and_changes_nothing(empty: Target) -> None:
    with pytest.raises(NotReady, match=r"python manage\.py db upgrade"):
        empty.prepare(migrate=False)
    assert tables(empty) == set()


def test_a_migration_killed_at_any_point_runs_again(empty: Target) -> None:
    for passes in range(200):
        try:
            with Saboteur(empty.engine, passes):
                empty.prepare()
            break
        except Crash:
            continue
    assert passes > 10
    assert differences(empty.engine) == []


def test_eight_processes_come_up_on_an_empty_database(engine: str, new_url: NewUrl) -> None:
    url = new_url(engine)
    assert prepare_in_processes(url, 8) == [(0, "")] * 8
    with target(url) as one:
        assert differences(one.engine) == []
        assert len(one.sql("SELECT version_num FROM alembic_version")) == 1


def test_threads_may_prepare_different_databases_at_once(engine: str, new_url: NewUrl) -> None:
    urls = [new_url(engine) for _ in range(4)]

    def prepare(url: str) -> None:
        with target(url) as one:
            one.prepare()

    threads = [threading.Thread(target=prepare, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for url in urls:
        with target(url) as one:
            assert differences(one.engine) == []


def test_a_dead_owner_is_replaced_when_its_lease_runs_out(empty: Target) -> None:
    with empty.engine.begin() as connection:
        connection.execute(CreateTable(leases))
        end = datetime(1970, 1, 1) + timedelta(microseconds=empty.dialect.now(connection)) + timedelta(seconds=1)  # noqa: DTZ001 - as the columns are
        values = {"name": "migration", "owner": "dead", "fence": 7, "expires_at": end}
        connection.execute(leases.insert().values(values))
    empty.prepare()
    assert differences(empty.engine) == []
    assert empty.sql("SELECT owner, fence FROM leases") == [(None, 8)]


@pytest.mark.parametrize("strange", ["hosts", "containers", "reports", "leases"])
def test_tables_of_strangers_are_refused_and_not_touched(empty: Target, strange: str) -> None:
    empty.sql(f"CREATE TABLE {strange} (name VARCHAR(9))")
    with pytest.raises(NotReady, match=strange):
        empty.prepare()
    assert tables(empty) == {strange}


def test_hosts_that_are_long_silent_are_not_told_of_when_the_ledger_is_made(empty: Target) -> None:
    """Else whoever is on call would hear of every host that was ever switched off."""
    empty.prepare()
    seen = {"old": "12:00:00", "stopped with it": "12:04:59", "alive": "12:15:00", "as well": "12:06:00"}
    for name, at in seen.items():
        statement = "INSERT INTO hosts (host_name, created_at, last_seen) VALUES (:name, '2026-01-01', :at)"
        empty.sql(statement, name=name, at=f"2026-01-01 {at}.000000")
    empty.sql("UPDATE alembic_version SET version_num = '0003'")
    empty.prepare()
    dark = empty.sql("SELECT host_name FROM hosts WHERE dark_since IS NOT NULL ORDER BY host_name")
    assert dark == [("old",), ("stopped with it",)]
