"""What the agent keeps on disk survives whatever happens to it."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agent.clock import Clock, Stamp
from agent.notices import Notices
from agent.segments import Segments
from agent.spool import Spool, SpoolError

pytestmark = pytest.mark.agent

OpenSpool = Callable[..., Spool]

ROOT = Path(__file__).resolve().parent.parent


def spool_in(folder: Path, *, max_bytes: float = 1 << 20, max_age_s: float = 3600) -> Spool:
    return Spool(folder, Clock(), Notices(), max_bytes=max_bytes, max_age_s=max_age_s)


@pytest.fixture
def opened() -> Iterator[OpenSpool]:
    """Opens spools that are closed with the test."""
    with ExitStack() as ending:

        def made(folder: Path, **limits: float) -> Spool:
            return ending.enter_context(closing(spool_in(folder, **limits)))

        yield made


def filled(spool: Spool, count: int, size: int = 10) -> Spool:
    for number in range(count):
        spool.append(json.dumps({"n": number, "x": "x" * size}), Clock().now())
    return spool


def kept(spool: Spool) -> list[int]:
    return [json.loads(record.report)["n"] for record in spool.oldest(100_000, 1 << 30)]


def test_reports_survive_the_agent_in_their_order(opened: OpenSpool, tmp_path: Path) -> None:
    filled(opened(tmp_path), 5).close()
    assert kept(opened(tmp_path)) == [0, 1, 2, 3, 4]


def test_a_key_and_a_moment_survive_the_agent(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), 1)
    [before] = spool.oldest(1, 1000)
    spool.close()
    [after] = opened(tmp_path).oldest(1, 1000)
    assert (after.key, after.report, after.stamp.boot) == (before.key, before.report, before.stamp.boot)
    assert abs(after.stamp.uptime_s - before.stamp.uptime_s) <= 0.001


def test_what_is_settled_does_not_come_back(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), 5)
    spool.settle([1, 4])
    spool.close()
    assert kept(opened(tmp_path)) == [0, 2, 3]


def test_numbers_go_on_behind_what_was_settled(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), 3)
    spool.settle([0, 1, 2])
    spool.close()
    after = filled(opened(tmp_path), 1)
    newest = after.newest()
    assert newest
    assert newest.number == 3


def test_a_batch_ends_at_its_limits_and_has_one_report_at_least(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path), 5, size=100)
    assert len(spool.oldest(3, 1 << 20)) == 3
    assert len(spool.oldest(5, 250)) == 2
    assert len(spool.oldest(5, 1)) == 1


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_torn_last_line_costs_only_itself(opened: OpenSpool, tmp_path: Path, cut: int) -> None:
    filled(opened(tmp_path), 3).close()
    [segment] = tmp_path.glob("*.log")
    os.truncate(segment, segment.stat().st_size - cut)
    spool = opened(tmp_path)
    whole = [0, 1, 2] if cut == 1 else [0, 1]
    assert kept(spool) == whole
    filled(spool, 1)
    spool.settle([0])
    spool.close()
    assert kept(opened(tmp_path)) == [*whole[1:], 0]


@pytest.mark.parametrize(
    "junk", [b"\0" * 100, b"\n\n", b"R 00000000 7 x\n", b"A zz 0\n", b"\xff\xfe\n", b"A 12345678 1\n"]
)
def test_damage_costs_only_what_it_hit(
    opened: OpenSpool, tmp_path: Path, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    filled(opened(tmp_path), 2).close()
    [segment] = tmp_path.glob("*.log")
    content = segment.read_bytes()
    first = content.index(b"\n") + 1
    segment.write_bytes(content[:first] + junk + b"\n" + content[first:])
    assert kept(opened(tmp_path)) == [0, 1]
    lines = [record.message for record in caplog.records if "damaged" in record.message]
    assert len(lines) == (0 if junk == b"\n\n" else 1)


@pytest.mark.parametrize("torn", [b"\nA 1234", b"\nA 00000000 0", b"\nR 00000000 9 x"])
def test_a_line_torn_on_a_full_disk_costs_the_next_report_nothing(
    opened: OpenSpool, tmp_path: Path, torn: bytes
) -> None:
    spool = filled(opened(tmp_path), 2)
    [segment] = tmp_path.glob("*.log")
    with segment.open("ab") as file:
        file.write(torn)
    filled(spool, 1)
    assert kept(spool) == [0, 1, 0]
    spool.close()
    assert kept(opened(tmp_path)) == [0, 1, 0]


def test_a_flipped_bit_is_noticed(opened: OpenSpool, tmp_path: Path) -> None:
    filled(opened(tmp_path), 3).close()
    [segment] = tmp_path.glob("*.log")
    content = bytearray(segment.read_bytes())
    content[content.index(b'"n": 1') + 5] ^= 1
    segment.write_bytes(content)
    assert kept(opened(tmp_path)) == [0, 2]


def test_a_full_spool_drops_the_oldest_and_says_so_once(
    opened: OpenSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = filled(opened(tmp_path, max_bytes=64_000), 1000, size=100)
    numbers = kept(spool)
    assert numbers == list(range(1000 - len(numbers), 1000))
    assert spool.dropped == 1000 - len(numbers)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.log"))
    assert 64_000 * 0.95 < size <= 64_000
    assert ["spool is full" in record.message for record in caplog.records].count(True) == 1


def test_a_full_spool_needs_no_room_to_drop_what_it_holds(
    opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path, max_bytes=16_000)
    monkeypatch.setattr(spool._segments, "note", lambda *_: pytest.fail("something was noted"))
    filled(spool, 300, size=100)
    assert spool.dropped == 300 - len(spool) > 0


def test_a_segment_that_is_gone_costs_only_its_reports(
    opened: OpenSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = filled(opened(tmp_path, max_bytes=64_000), 60, size=100)
    before, [first, *_] = kept(spool), sorted(tmp_path.glob("*.log"))
    lost = first.read_bytes().count(b"\nR ")
    first.unlink()
    assert [record.number for record in spool.oldest(10, 1 << 20)] == list(range(lost, lost + 10))
    assert kept(spool) == before[lost:]
    assert spool.dropped == lost > 0
    assert [record.message for record in caplog.records] == [
        f"spool: the oldest reports are dropped, {lost} so far: their file is gone"
    ]


def test_the_newest_one_that_can_be_read_is_the_newest(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path, max_bytes=64_000), 60, size=100)
    last = max(tmp_path.glob("*.log"))
    lost = last.read_bytes().count(b"\nR ")
    last.unlink()
    newest = spool.newest()
    assert newest
    assert newest.number == 59 - lost


def test_a_segment_that_cannot_be_read_now_holds_up_no_other(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path, max_bytes=64_000), 60, size=100)
    first = min(tmp_path.glob("*.log"))
    away = first.rename(tmp_path / "away")
    first.mkdir()
    assert len(spool.oldest(10, 1 << 20)) == 10
    assert kept(spool) == list(range(60 - len(kept(spool)), 60))
    assert 0 < len(kept(spool)) < len(spool) == 60
    first.rmdir()
    away.rename(first)
    assert kept(spool) == list(range(60))


def test_what_is_delivered_leaves_no_files(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path, max_bytes=64_000), 300, size=100)
    spool.settle([record.number for record in spool.oldest(1000, 1 << 20)])
    filled(spool, 1, size=1000)
    assert len(list(tmp_path.glob("*.log"))) == 1


def test_too_old_reports_are_dropped(opened: OpenSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = opened(tmp_path, max_age_s=60)
    now = Clock().now()
    spool.append('{"n":0}', Stamp(now.uptime_s - 61, now.boot, now.wall_s))
    spool.append('{"n":1}', Stamp(now.uptime_s - 50, now.boot, now.wall_s))
    assert kept(spool) == [1]
    assert spool.dropped == 1
    assert "older than" in caplog.text


def test_the_age_of_what_is_kept_is_known_without_the_disk(opened: OpenSpool, tmp_path: Path) -> None:
    filled(opened(tmp_path / "spool"), 2).close()
    spool = filled(opened(tmp_path / "spool"), 2)
    (tmp_path / "spool").rename(tmp_path / "gone")
    spool._max_age_s = 0
    assert spool.oldest(9, 1000) == []
    assert (spool.dropped, len(spool)) == (4, 0)


def test_files_of_other_names_are_left_alone(opened: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "abcdefghijkl.log").write_text("not ours")
    assert kept(filled(opened(tmp_path), 1)) == [0]
    assert (tmp_path / "abcdefghijkl.log").read_text() == "not ours"


def test_a_disk_without_locks_is_used_all_the_same(
    opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert kept(filled(opened(tmp_path), 1)) == [0]


def test_a_second_agent_is_kept_out(opened: OpenSpool, tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(SpoolError, match="another agent"):
        opened(tmp_path)
    first.close()


def test_a_file_is_no_folder(opened: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolError, match="should be a folder"):
        opened(tmp_path / "spool")


def test_reports_that_cannot_be_written_are_kept_in_memory(
    opened: OpenSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk = tmp_path / "disk"
    disk.mkdir()
    spool = filled(opened(disk / "spool"), 2)
    disk.rename(tmp_path / "gone")
    filled(spool, 3)
    assert len(spool) == 5
    newest = spool.newest()
    assert newest
    assert newest.number == 4
    spool.settle([3])
    assert [record.message for record in caplog.records].count(
        f"spool {disk / 'spool'}: No such file or directory; reports are kept in memory only"
    ) == 1
    (tmp_path / "gone").rename(disk)
    filled(spool, 1)
    assert "can be written again" in caplog.text
    assert [record.number for record in spool.oldest(10, 1 << 20)] == [0, 1, 2, 4, 5]


def test_what_is_lost_at_the_end_is_told(opened: OpenSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = filled(opened(tmp_path / "disk" / "spool"), 2)
    (tmp_path / "disk").rename(tmp_path / "gone")
    filled(spool, 3).close()
    assert caplog.records[-1].message == "spool: 3 reports are lost: they were kept in memory only"


def test_memory_is_bounded_too(opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.spool.MEMORY_BYTES", 1000)
    spool = opened(tmp_path / "disk" / "spool")
    (tmp_path / "disk").rename(tmp_path / "gone")
    filled(spool, 50, size=100)
    assert kept(spool) == list(range(50 - len(spool), 50))
    assert 5 <= len(spool) <= 10


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, bytes_in_all: int) -> None:
    """A disk on which nothing else fits: what is written beyond is taken back, as far as the caller can tell."""
    write = Segments._append

    def full(self: Segments, segment: int, lines: bytes, *, durable: bool) -> int:
        self._path(segment).touch()
        if sum(path.stat().st_size for path in folder.glob("*.log")) + len(lines) + 1 > bytes_in_all:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, segment, lines, durable=durable)

    monkeypatch.setattr(Segments, "_append", full)


def test_what_is_settled_makes_room_on_a_full_disk(
    opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limited(monkeypatch, tmp_path, 2000)
    spool = opened(tmp_path)
    for _ in range(50):
        [record] = filled(spool, 1, size=100).oldest(9, 1 << 20)
        spool.settle([record.number])
    assert caplog.records == []
    assert len(list(tmp_path.glob("*.log"))) == 1


def test_a_full_disk_is_left_no_empty_files(
    opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    limited(monkeypatch, tmp_path, 1000)
    spool = filled(opened(tmp_path), 50, size=100)
    assert len(spool) == 50
    assert [path for path in tmp_path.glob("*.log") if not path.stat().st_size] == []
    spool.settle(range(50))
    filled(spool, 1)
    assert caplog.records[-1].message == f"spool {tmp_path}: can be written again"


def test_a_folder_that_was_deleted_is_made_anew(
    opened: OpenSpool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = filled(opened(tmp_path / "spool"), 2)
    shutil.rmtree(tmp_path / "spool")
    filled(spool, 2)
    assert [record.number for record in spool.oldest(9, 1 << 20)] == [2, 3]
    assert [record.message for record in caplog.records] == [
        "spool: the oldest reports are dropped, 2 so far: their file is gone"
    ]
    with pytest.raises(SpoolError, match="another agent"):
        opened(tmp_path / "spool")
    spool.close()
    assert len(opened(tmp_path / "spool")) == 2


def test_a_folder_with_the_name_of_a_segment_is_passed_over(opened: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "000000000000.log").mkdir()
    filled(opened(tmp_path), 2).close()
    assert kept(opened(tmp_path)) == [0, 1]


def test_a_full_disk_tears_no_line(opened: OpenSpool, tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path; from tests.test_agent_spool import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))\n"
        f"spool = filled(spool_in(Path({str(tmp_path)!r}), max_bytes=1 << 30), 20, size=100)\n"
        "assert len(spool) == 20, len(spool)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
    numbers = kept(opened(tmp_path))
    assert numbers == sorted(numbers)
    assert len(numbers) >= 5


def test_a_kill_loses_nothing_that_was_appended(opened: OpenSpool, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.test_agent_spool import *\n"
        f"spool = spool_in(Path({str(tmp_path)!r}))\n"
        "for number in range(100_000):\n"
        "    spool.append(f'{{\"n\":{number}}}', Clock().now())\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if int(line) == 50:
            process.send_signal(signal.SIGKILL)
            break
    told = [50, *(int(line) for line in process.stdout)]
    process.wait()
    process.stdout.close()
    numbers = kept(opened(tmp_path))
    assert numbers[: told[-1] + 1] == list(range(told[-1] + 1))


def test_rejected_reports_are_kept_with_their_reason(
    opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.rejected.MAX_REJECTED", 3)
    spool = filled(opened(tmp_path), 5)
    for record in spool.oldest(5, 1 << 20):
        spool.reject(record, f"422 VALIDATION: no {record.number}")
    assert len(spool) == 0
    kept_files = sorted((tmp_path / "rejected").glob("*.json"))
    assert [path.read_text().splitlines()[1] for path in kept_files] == [f"422 VALIDATION: no {n}" for n in (2, 3, 4)]


def test_rejected_reports_take_a_tenth_of_the_limit_and_the_newest_is_kept(opened: OpenSpool, tmp_path: Path) -> None:
    spool = filled(opened(tmp_path, max_bytes=10_000), 6, size=300)
    for record in spool.oldest(6, 1 << 20):
        spool.reject(record, f"422 VALIDATION: no {record.number}")
    kept_files = sorted((tmp_path / "rejected").glob("*.json"))
    assert [path.read_text().splitlines()[1][-1] for path in kept_files] == ["4", "5"]
    [large] = filled(spool, 1, size=2000).oldest(1, 1)
    spool.reject(large, "422")
    assert [path.stat().st_size > 2000 for path in (tmp_path / "rejected").glob("*.json")] == [True]


def test_rejected_reports_survive_the_ones_of_the_next_start(
    opened: OpenSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.rejected.MAX_REJECTED", 4)
    for start in (1, 2):
        spool = filled(opened(tmp_path), 3)
        for record in spool.oldest(3, 1 << 20):
            spool.reject(record, f"start {start}: no {record.number}\ud800")
        spool.close()
        for segment in tmp_path.glob("*.log"):
            segment.unlink()
    reasons = [path.read_text().splitlines()[1] for path in sorted((tmp_path / "rejected").glob("*.json"))]
    assert reasons == [rf"start {start}: no {n}\ud800" for start, n in ((1, 2), (2, 0), (2, 1), (2, 2))]
