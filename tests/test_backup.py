import gzip
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from database import backup_sqlite
from database.backup_file import written
from model.models import metadata
from tests import canary
from tests.console import Done, manage
from tests.disks import disk
from tests.fleet import Fleet
from tests.fuzzing import HOSTILE
from tests.programs import MAIN, program
from tests.schema_engine import target
from tests.service import report, running, settings_for

pytestmark = pytest.mark.slow
NAMES = {"sqlite": "backup.db", "mariadb": "backup.sql", "mysql": "backup.sql.gz"}
TABLES = ("alembic_version", *metadata.tables)


def hostile(number: int) -> dict[str, Any]:
    """A report with names that a dump may trip over, and with metrics of all digits."""
    name = HOSTILE[number]
    metrics = {"cpu_percentage": number / 7, "memory_usage": 1e9 / (number + 3), "memory_percentage": 1e-300}
    return report(name, name, {"container_name": f"{name}!"[-255:], **metrics}, **metrics)


def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table."""
    with target(url) as one:
        return {name: sorted(map(repr, one.sql(f"SELECT * FROM {name}"))) for name in TABLES}


def tables(url: str) -> list[str]:
    with target(url) as one:
        return inspect(one.engine).get_table_names()


def refused(done: Done, words: str) -> bool:
    """One sentence, and the right one."""
    return done.status == 1 and done.words.startswith("Error: ") and words in done.words and "\n" not in done.words


@pytest.fixture(scope="module")
def full(engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database of hostile names, keys and a deleted host; no server runs on it."""
    url = new_url(engine)
    with running(settings_for(url, tmp_path_factory.mktemp("full"))) as service:
        for number in range(len(HOSTILE)):
            assert service.post(hostile(number), idempotency_key=f"key-{number}").status_code == 200
    assert manage(url, "host", "delete", HOSTILE[0]).status == 0
    return url


@pytest.fixture(scope="module")
def file(engine: str, full: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, alone in its folder."""
    path = tmp_path_factory.mktemp("backup") / NAMES[engine]
    assert manage(full, "backup", str(path)) == Done(0, f"{path} is a backup of the database")
    return path


@pytest.fixture
def empty(engine: str, new_url: Callable[[str], str]) -> str:
    """The URL of an empty database."""
    return new_url(engine)


def test_a_restored_database_is_equal_row_by_row(full: str, file: Path, empty: str) -> None:
    done = manage(empty, "restore", str(file))
    assert done == Done(0, f"{file} is restored; the next start of the server brings its tables up to date")
    assert rows(empty) == rows(full)
    assert len(rows(empty)["containers"]) == 2 * len(HOSTILE)


def test_a_server_on_a_restored_database_knows_the_old_keys(file: Path, empty: str, tmp_path: Path) -> None:
    manage(empty, "restore", str(file))
    before = rows(empty)
    with running(settings_for(empty, tmp_path)) as service:
        assert {one["host_name"] for one in service.data("/api/hosts")} == set(HOSTILE[1:])
        again = service.post(hostile(5), idempotency_key="key-5")
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
        assert rows(empty) == before
        assert service.post(hostile(5), idempotency_key="key-new").status_code == 200
        assert len(rows(empty)["reports"]) == len(before["reports"]) + 1


def test_a_backup_under_load_is_of_one_moment_and_disturbs_nobody(
    engine: str, new_url: Callable[[str], str], empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_sqlite, "STEP_PAGES", 1)
    url, file = new_url(engine), tmp_path / NAMES[engine]
    with program(MAIN, url, tmp_path) as server, Fleet([server.ready().port], rate=200).reporting() as fleet:
        fleet.await_acks(200)
        before = len(fleet.acknowledged)
        assert manage(url, "backup", str(file)).status == 0
        fleet.await_acks(100)
    fleet.check(settings_for(url, tmp_path), statuses=(200,))
    assert manage(empty, "restore", str(file)).status == 0
    verdict = fleet.compare(settings_for(empty, tmp_path))
    assert (verdict.partial, verdict.duplicates) == (0, 0)
    assert before <= verdict.acknowledged - verdict.missing < verdict.acknowledged
    now, then = rows(url), rows(empty)
    assert all(set(then[name]) <= set(now[name]) for name in ("reports", "containers"))
    fleet.in_time()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_backup_is_for_its_owner_alone(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_backup_is_one_file_without_the_password(file: Path) -> None:
    assert list(file.parent.iterdir()) == [file]
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rb") as content:
        assert canary.leaks(content.read()) == []


def test_an_existing_file_is_not_overwritten(full: str, tmp_path: Path) -> None:
    existing = tmp_path / "precious"
    existing.write_text("precious")
    assert refused(manage(full, "backup", str(existing)), "exists already: give another name")
    assert existing.read_text() == "precious"


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    engine: str, full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing = tmp_path / NAMES[engine]

    def late(path: Path) -> AbstractContextManager[Path]:
        existing.write_text("precious")
        return written(path)

    monkeypatch.setattr("database.backup.written", late)
    assert refused(manage(full, "backup", str(existing)), "exists already")
    assert existing.read_text() == "precious"


def test_a_folder_that_is_not_there_is_one_sentence(engine: str, full: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / NAMES[engine]
    assert refused(manage(full, "backup", str(missing)), "cannot be written: No such file or directory")


def test_a_database_without_tables_is_not_backed_up(engine: str, empty: str, tmp_path: Path) -> None:
    manage(empty, "host", "delete", "nobody")  # SQLite's file is there now
    folder = tmp_path / "backups"
    folder.mkdir()
    assert refused(manage(empty, "backup", str(folder / NAMES[engine])), "the database is empty or an earlier server's")
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_nothing(engine: str, full: str, tmp_path: Path) -> None:
    with disk(tmp_path / "small", 1 << 20, "disk full under a backup") as small:
        small.fill()
        ballast = small.path / "ballast"
        os.truncate(ballast, ballast.stat().st_size - 4096)  # it begins well
        done = manage(full, "backup", str(small.path / NAMES[engine]))
        small.free()
        assert refused(done, "No space left on device") or refused(done, "disk is full")
        assert list(small.path.iterdir()) == []


def test_a_backup_that_is_interrupted_leaves_nothing(
    engine: str, full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("database.backup_file._sync", interrupt)
    assert manage(full, "backup", str(tmp_path / NAMES[engine])) == Done(1, "\nAborted!")
    assert list(tmp_path.iterdir()) == []


def test_a_database_with_tables_is_not_restored_into(full: str, file: Path) -> None:
    before = rows(full)
    assert refused(manage(full, "restore", str(file)), "the database holds tables already (")
    assert rows(full) == before


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_damaged_backup_is_refused(engine: str, file: Path, empty: str, tmp_path: Path, share: float) -> None:
    whole, part = file.read_bytes(), tmp_path / NAMES[engine]
    part.write_bytes(whole[: int(len(whole) * share)])
    done = manage(empty, "restore", str(part))
    assert refused(done, part.name)
    assert tables(empty) == []


@pytest.mark.parametrize("content", [b"A letter;\n", bytes(9999), "편지".encode("cp949")])
def test_what_is_no_backup_is_refused(engine: str, empty: str, tmp_path: Path, content: bytes) -> None:
    other = tmp_path / NAMES[engine].removesuffix(".gz")
    other.write_bytes(content)
    assert refused(manage(empty, "restore", str(other)), other.name)
    assert refused(manage(empty, "restore", str(tmp_path)), tmp_path.name)
    assert refused(manage(empty, "restore", str(tmp_path / "missing")), "missing")
    assert tables(empty) == []


def test_a_backup_of_a_newer_version_is_refused(
    engine: str, file: Path, empty: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    newer, newer_file = new_url(engine), tmp_path / NAMES[engine]
    manage(newer, "restore", str(file))
    with target(newer) as one:
        one.sql("UPDATE alembic_version SET version_num = '9999'")
    assert manage(newer, "backup", str(newer_file)).status == 0
    assert refused(manage(empty, "restore", str(newer_file)), "of a newer version of this program")
    assert tables(empty) == []
