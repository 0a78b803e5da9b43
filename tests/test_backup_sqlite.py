import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from database import backup_sqlite
from database.backup_sqlite import COMPANIONS, SqliteBackups
from database.database import StartRefused, claim
from database.dialect_sqlite import sqlite_module
from tests.console import manage
from tests.service import SAMPLE, running, settings_for
from tests.test_backup import refused, rows

pytestmark = pytest.mark.slow


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A connection beside everything, as the sqlite3 program makes one."""
    with closing(sqlite_module().connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a report; no server runs on it."""
    file = tmp_path / "data" / "test.db"
    with running(settings_for(f"sqlite:///{file}", tmp_path)) as service:
        assert service.post(SAMPLE).status_code == 200
    return file


@pytest.fixture
def file(path: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    backup = tmp_path / "backup.db"
    assert manage(f"sqlite:///{path}", "backup", str(backup)).status == 0
    return backup


def test_nothing_is_restored_under_a_server(file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    with running(settings_for(url, tmp_path)) as service:
        done = manage(url, "restore", str(file))
        assert refused(done, "other.db is in use by another server process")
        assert service.post(SAMPLE).status_code == 200


def test_no_server_starts_during_a_restore(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    copyfile = shutil.copyfile

    def beside(source: Path, target: Path) -> None:
        with pytest.raises(StartRefused):
            claim(tmp_path / "other.db")
        copyfile(source, target)

    monkeypatch.setattr("database.backup_sqlite.shutil.copyfile", beside)
    assert manage(url, "restore", str(file)).status == 0


@pytest.mark.parametrize("end", COMPANIONS)
def test_what_an_older_database_left_behind_does_not_change_a_restored_one(
    path: Path, file: Path, tmp_path: Path, end: str
) -> None:
    url, left, kept = f"sqlite:///{path}", Path(f"{path}{end}"), tmp_path / "kept"
    before = rows(url)
    with opened(path) as connection:
        connection.execute(f"PRAGMA journal_mode={'DELETE' if end == '-journal' else 'WAL'}")
        connection.execute("UPDATE hosts SET host_name = 'stale'")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE hosts SET host_name = 'staler'")
        shutil.copy(left, kept)
    path.unlink()
    shutil.move(kept, left)
    SqliteBackups(path, settings_for(url, tmp_path)).load(file)
    assert not left.exists()
    assert rows(url) == before


def test_a_backup_is_not_begun_again_when_others_write(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    def write(_status: int, remaining: int, _pages: int) -> None:
        assert remaining not in left
        left.append(remaining)
        with opened(path) as connection:
            connection.execute("UPDATE hosts SET containers_count = containers_count + 1")

    monkeypatch.setattr(backup_sqlite, "STEP_PAGES", 1)
    monkeypatch.setattr(backup_sqlite, "_between_steps", write)
    assert manage(f"sqlite:///{path}", "backup", str(tmp_path / "backup.db")).status == 0
    assert len(left) > 10


def test_a_copy_of_a_database_in_use_is_no_backup(path: Path, tmp_path: Path) -> None:
    with opened(path) as connection:
        connection.execute("UPDATE hosts SET host_name = 'in the log alone'")
        done = manage(f"sqlite:///{tmp_path}/other.db", "restore", str(path))
    assert refused(done, "beside it lies test.db-wal")


def test_a_backup_needs_no_other_file_and_no_right_to_write(file: Path) -> None:
    with opened(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_holds_what_is_in_the_log_alone(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    with opened(path) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE hosts SET host_name = 'in the log alone'")
        assert manage(f"sqlite:///{path}", "backup", str(backup)).status == 0
    with opened(backup) as connection:
        assert connection.execute("SELECT host_name FROM hosts").fetchall() == [("in the log alone",)]


def test_a_log_whose_file_was_moved_away_is_left_alone(path: Path, file: Path, tmp_path: Path) -> None:
    log = Path(f"{path}-wal")
    with opened(path) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE hosts SET host_name = 'in the log alone'")
        kept = log.read_bytes()
        path.rename(tmp_path / "moved.db")
        done = manage(f"sqlite:///{path}", "restore", str(file))
        assert refused(done, f"{log.name} holds reports, but {path.name} is gone: move both to the same place")
        assert log.read_bytes() == kept
    assert not path.exists()


def test_a_damaged_database_is_not_passed_off_as_a_backup(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    assert refused(manage(f"sqlite:///{path}", "backup", str(tmp_path / "backup.db")), "")
    assert not (tmp_path / "backup.db").exists()


def test_a_database_that_is_not_there_is_neither_backed_up_nor_made(tmp_path: Path) -> None:
    done = manage(f"sqlite:///{tmp_path}/other.db", "backup", str(tmp_path / "backup.db"))
    assert refused(done, "other.db cannot be copied: unable to open database file")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_promises_compression_is_refused(path: Path, tmp_path: Path) -> None:
    done = manage(f"sqlite:///{path}", "backup", str(tmp_path / "backup.db.gz"))
    assert refused(done, "leave .gz out of its name")


@pytest.mark.parametrize("name", ["a b?.db", "100%#.db", "질문.db"])
def test_any_file_name_is_taken_as_it_is(path: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert manage(f"sqlite:///{path}", "backup", str(folder / name)).status == 0
    assert [one.name for one in folder.iterdir()] == [name]
    assert manage(f"sqlite:///{tmp_path}/other.db", "restore", str(folder / name)).status == 0
