from typing import Any, NamedTuple, cast

import pytest
from sqlalchemy import Connection

from database import batch, hosts
from database.dialect import MOVE, Dialect, Held
from database.rows import HOST_DETAILS, Prepared, Row
from utils.utils import SECOND, moment, time_text

T0 = 1_750_000_000 * SECOND
HOST: Row = (1.5, 2, 4, 2.5, 3.5, "2025-06-15 15:06:40", *[None] * len(HOST_DETAILS))
MINUTE = 60 * SECOND


def prepared(host_id: int = 7, sampled_at: int = T0, received_at: int | None = None, **others: Any) -> Prepared:  # noqa: ANN401 - any field
    """A report of 3 containers of which 2 run."""
    return Prepared(
        host_name="h",
        host=HOST,
        containers="",
        containers_count=3,
        size=0,
        running=2,
        received_at=sampled_at if received_at is None else received_at,
        sampled_at=sampled_at,
        content_hash=others.pop("content_hash", b"c" * 16),
        report_key=others.pop("report_key", None),
        host_id=host_id,
    )


def moved(held: Held, *reports: Prepared, now: int = T0) -> dict[str, Any]:
    """What the reports make of a host's row."""
    move = batch.Move(7, held)
    for report in reports:
        move.take(report, now)
    return dict(zip(MOVE, move.values(), strict=True))


class Table:
    """A dialect that holds some hosts and notes what is written."""

    def __init__(self, *held: int) -> None:
        self.held = held
        self.wrote: dict[str, Any] = {}

    def lock_hosts(self, _connection: Connection, ids: list[int], *, skip_locked: bool) -> dict[int, Held]:
        self.wrote["locked"] = (ids, skip_locked)
        return {id_: Held(None, None, None, "h") for id_ in ids if id_ in self.held}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the four statements
        return lambda _connection, rows, *packet: self.wrote.update({name: (list(rows), *packet)})

    def write(self, *reports: Prepared, skip_locked: bool = False) -> list[Prepared]:
        nobody = cast("Connection", None)
        dialect = cast("Dialect", self)
        return batch.write(nobody, dialect, reports, packet=99, now=T0, skip_locked=skip_locked)


def test_a_hosts_first_report_is_its_state() -> None:
    row = moved(Held(None, None, None, "h"), prepared())
    assert list(row.values())[: 2 + len(HOST)] == [7, 1, *HOST]
    assert (row["sampled_at"], row["containers_count"], row["containers_running"]) == (time_text(T0), 3, 2)
    assert (row["interval_s"], row["last_seen"], row["expected_by"]) == (None, time_text(T0), time_text(T0))


def test_a_later_report_moves_the_host_and_teaches_its_interval() -> None:
    row = moved(Held(T0 - 30 * SECOND, T0 - 30 * SECOND, None, "h"), prepared())
    assert (row["moves"], row["interval_s"], row["last_seen"]) == (1, 30.0, time_text(T0))
    assert row["expected_by"] == time_text(T0 + 90 * SECOND)


def test_an_older_report_moves_presence_alone() -> None:
    row = moved(Held(T0, T0, 10.0, "h"), prepared(sampled_at=T0 - 1, received_at=T0 + 5), now=T0 + 5)
    assert row["moves"] == 0
    assert {row[name] for name in MOVE[2:-2]} == {None}
    assert (row["last_seen"], row["expected_by"]) == (time_text(T0 + 5), time_text(T0 + 5 + 30 * SECOND))


def test_a_report_of_the_same_moment_moves_the_host() -> None:
    row = moved(Held(T0, T0, 10.0, "h"), prepared())
    assert (row["moves"], row["interval_s"]) == (1, 10.0)


def test_presence_never_goes_back() -> None:
    assert moved(Held(T0 - 9, T0 + 5, None, "h"), prepared())["last_seen"] == time_text(T0 + 5)


@pytest.mark.parametrize(("ahead", "believed"), [(MINUTE, True), (MINUTE + 1, False)])
def test_a_host_of_the_far_future_is_set_back(ahead: int, believed: bool) -> None:  # noqa: FBT001 - a case
    row = moved(Held(T0 + ahead, T0 + ahead, 10.0, "h"), prepared())
    assert row["moves"] == (0 if believed else 1)
    assert row["last_seen"] == time_text(T0 + ahead if believed else T0)


def test_the_newest_of_a_batch_is_the_state_whatever_their_order() -> None:
    newest = prepared(sampled_at=T0 + 2 * SECOND)
    reports = [prepared(), newest, prepared(sampled_at=T0 + SECOND)]
    row = moved(Held(None, None, None, "h"), *reports)
    assert (row["sampled_at"], row["interval_s"]) == (time_text(newest.sampled_at), 2.0)


def test_an_interval_may_be_less_than_a_second() -> None:
    row = moved(Held(T0 - SECOND // 2, T0 - SECOND // 2, None, "h"), prepared())
    assert (row["interval_s"], row["expected_by"]) == (0.5, time_text(T0 + 3 * SECOND // 2))


def test_reports_of_one_host_and_moment_are_a_microsecond_apart() -> None:
    reports = [prepared() for _ in range(3)]
    batch.part(reports)
    assert [one.sampled_at - T0 for one in reports] == [0, 1, 2]


def test_reports_of_one_host_and_moment_are_moved_apart_by_their_arrival() -> None:
    late, early, other = prepared(received_at=T0 + 9), prepared(), prepared(host_id=8)
    next_ = prepared(sampled_at=T0 + 1, received_at=T0 + 3)
    batch.part([late, early, other, next_])
    assert [one.sampled_at - T0 for one in (late, early, other, next_)] == [2, 0, 0, 1]


def test_a_batch_is_written_in_the_order_of_the_primary_keys() -> None:
    table, reports = Table(7, 8), [prepared(8), prepared(7, T0 + MINUTE), prepared(7)]
    assert table.write(*reports) == reports
    assert table.wrote["locked"] == ([7, 8], False)
    assert table.wrote["insert_reports"] == (reports,)
    assert table.wrote["insert_containers"] == (reports, 99)
    assert [row[0] for row in table.wrote["update_hosts"][0]] == [7, 8]


def test_the_minutes_of_a_batch_are_marked_once_each() -> None:
    table, start = Table(7, 8), T0 - T0 % MINUTE
    table.write(*(prepared(*at) for at in ((8, start), (7, start + MINUTE), (7, start + MINUTE - 1), (7, start))))
    minutes = [(7, time_text(start)), (7, time_text(start + MINUTE)), (8, time_text(start))]
    assert table.wrote["insert_pending"] == (minutes,)


def test_a_deleted_host_is_told() -> None:
    table = Table(7)
    with pytest.raises(batch.HostGone) as gone:
        table.write(prepared(7), prepared(9))
    assert gone.value.args == ({9},)
    assert table.wrote.keys() == {"locked"}


def test_a_renamed_host_is_told() -> None:
    table, other = Table(7, 8), prepared(8)
    other.host_name = "before"
    with pytest.raises(batch.HostGone) as gone:
        table.write(prepared(7), other)
    assert gone.value.args == ({8},)
    assert table.wrote.keys() == {"locked"}


@pytest.mark.parametrize("alive", [True, False])
def test_a_host_that_is_held_elsewhere_is_left_out(alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a case
    monkeypatch.setattr(hosts, "alive", lambda _connection, ids: ids if alive else set())
    table, mine = Table(7), prepared(7)
    if alive:
        assert table.write(mine, prepared(9), skip_locked=True) == [mine]
        assert [row[0] for row in table.wrote["update_hosts"][0]] == [7]
    else:
        with pytest.raises(batch.HostGone):
            table.write(mine, prepared(9), skip_locked=True)


def test_where_every_host_is_held_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "alive", lambda _connection, ids: ids)
    table = Table()
    assert table.write(prepared(7), skip_locked=True) == []
    assert table.wrote == {"locked": ([7], True)}


class Found(NamedTuple):
    """A stored report."""

    report_key: bytes | None
    content_hash: bytes
    received_at: Any


@pytest.mark.parametrize("place", [None, 0, 1, 2])
def test_a_stored_report_is_ours_if_all_of_it_is(place: int | None) -> None:
    ours = prepared(report_key=b"k" * 16)
    row: list[Any] = [b"k" * 16, b"c" * 16, moment(T0)]
    if place is not None:
        row[place] = moment(T0 + 1) if place == 2 else b"x" * 16
    assert batch.is_ours(cast("Any", Found(*row)), ours) is (place is None)
