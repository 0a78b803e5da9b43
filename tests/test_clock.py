from datetime import datetime
from typing import Any

import pytest

from database.batch import FUTURE, Move, learned_interval
from database.clock import Clock
from database.dialect import MOVE, Held
from database.rows import HOST_DETAILS, Prepared
from tests.service import Service, report
from utils.utils import SECOND, time_text

NOW = 1_800_000_000 * SECOND
BEFORE = NOW - 10 * SECOND


class Hand:
    """A clock whose monotonic time is set by hand; the database's time is `NOW` at zero."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0
        monkeypatch.setattr(Clock, "monotonic", staticmethod(lambda: self.at))
        self.clock = Clock()
        self.clock.measured(NOW, 0, 0)


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch)


def test_stamps_of_one_instant_are_apart(hand: Hand) -> None:
    assert [hand.clock.stamp() for _ in range(3)] == [NOW, NOW + 1, NOW + 2]


def test_stamps_go_on_with_the_database_clock(hand: Hand) -> None:
    first = hand.clock.stamp()
    hand.at = 5 * SECOND
    assert hand.clock.stamp() - first == 5 * SECOND


def test_a_small_step_back_never_turns_stamps_back(hand: Hand) -> None:
    hand.at = SECOND
    first = hand.clock.stamp()
    hand.clock.measured(NOW + SECOND // 2, SECOND, SECOND)
    assert hand.clock.stamp() == first + 1


@pytest.mark.parametrize("step", [-3600 * SECOND, -2 * SECOND, 86_400 * SECOND])
def test_a_large_step_is_followed_at_once(hand: Hand, step: int) -> None:
    hand.clock.stamp()
    hand.clock.measured(NOW + step, 0, 0)
    assert hand.clock.stamp() == NOW + step


def test_a_slow_answer_does_not_move_a_clock_that_is_right(hand: Hand) -> None:
    # The database read its clock at 0.1 s, and the answer came at 2 s.
    hand.clock.measured(NOW + SECOND // 10, 0, 2 * SECOND)
    assert hand.clock.now() == NOW


def test_a_clock_that_is_wrong_moves_to_where_the_answer_allows(hand: Hand) -> None:
    hand.clock.measured(NOW + 60 * SECOND, 0, 100)
    assert hand.clock.now() == NOW + 60 * SECOND - 100


def held(sampled_at: int = BEFORE, last_seen: int = BEFORE) -> Held:
    """What a locked host's row tells."""
    return Held(sampled_at, last_seen, 10.0, "h")


def prepared(received_at: int, age_s: int = 0) -> Prepared:
    host = (1.0, 2, 4, 8.0, 50.0, "2025-01-01 00:00:00", *[None] * len(HOST_DETAILS))
    return Prepared("host", host, "", 0, 0, 0, received_at, received_at - age_s * SECOND, b"", None)


def moved(row: Held, *reports: Prepared, now: int = NOW) -> dict[str, Any]:
    move = Move(1, row)
    for one in reports:
        move.take(one, now)
    return dict(zip(MOVE, move.values(), strict=True))


def test_a_newer_report_moves_the_host() -> None:
    assert moved(held(), prepared(NOW))["sampled_at"] == time_text(NOW)


def test_a_report_of_the_same_moment_moves_the_host() -> None:
    assert moved(held(sampled_at=NOW), prepared(NOW))["moves"] == 1


def test_a_late_report_moves_presence_alone() -> None:
    values = moved(held(), prepared(NOW, age_s=60))
    assert (values["moves"], values["last_seen"]) == (0, time_text(NOW))


def test_the_newest_report_of_a_batch_wins_whatever_the_order() -> None:
    values = moved(held(), prepared(NOW), prepared(NOW + 1, age_s=5))
    assert (values["sampled_at"], values["last_seen"]) == (time_text(NOW), time_text(NOW + 1))


def test_a_host_from_a_clock_that_was_set_back_is_pulled_back() -> None:
    ahead = NOW + FUTURE + SECOND
    values = moved(held(sampled_at=ahead, last_seen=ahead), prepared(NOW))
    assert (values["sampled_at"], values["last_seen"]) == (time_text(NOW), time_text(NOW))


def test_a_host_a_little_ahead_stays_where_it_is() -> None:
    values = moved(held(sampled_at=NOW + FUTURE - SECOND), prepared(NOW))
    assert values["moves"] == 0


def test_presence_never_moves_back() -> None:
    values = moved(held(last_seen=NOW), prepared(NOW - 5 * SECOND))
    assert values["last_seen"] == time_text(NOW)


def test_a_host_is_expected_again_within_three_of_its_intervals() -> None:
    assert moved(held(), prepared(NOW))["expected_by"] == time_text(NOW + 30 * SECOND)


@pytest.mark.parametrize(
    ("known", "gap", "learned"),
    [(None, 60, 60), (60, 60, 60), (60, 3600, 120), (60, 0.01, 30), (60, -5, 60), (10, 15, 15)],
)
def test_an_interval_is_learnt_step_by_step(known: float | None, gap: float, learned: float) -> None:
    assert learned_interval(known, gap) == learned


def test_a_new_cadence_is_learnt_within_a_few_reports() -> None:
    interval: float | None = 5.0
    for _ in range(6):
        interval = learned_interval(interval, 300)
    assert interval == 300


def test_reports_are_stamped_with_the_time_axis_of_the_database(service: Service) -> None:
    service.post({**report("axis"), "age_s": 30})
    before, after = service.sql(
        "SELECT received_at, r.sampled_at FROM reports r JOIN hosts h ON h.id = r.host_id WHERE host_name = 'axis'"
    )[0]
    gap = datetime.fromisoformat(str(before)) - datetime.fromisoformat(str(after))
    assert gap.total_seconds() == 30


def test_a_host_row_far_ahead_of_now_follows_the_next_report(service: Service) -> None:
    service.post(report("ahead", cpu_percentage=1))
    service.sql(
        "UPDATE hosts SET sampled_at = '2090-01-01 00:00:00.000000', last_seen = '2090-01-01 00:00:00.000000' "
        "WHERE host_name = 'ahead'"
    )
    service.post(report("ahead", "web", cpu_percentage=2))
    host = service.data("/api/hosts", host_name="ahead")[0]
    assert host["cpu_percentage"] == 2
    assert host["sampled_at"] == host["last_seen"] < "2090"


def test_a_backlog_fills_history_and_never_drags_the_present_back(service: Service) -> None:
    service.post(report("backlog", "now", cpu_percentage=9))
    for age in (120, 60):
        service.post({**report("backlog", "then", cpu_percentage=1), "age_s": age})
    host = service.data("/api/hosts", host_name="backlog")[0]
    assert (host["cpu_percentage"], host["containers_count"]) == (9, 1)
    names = [one["container_name"] for one in service.data(f"/api/hosts/{host['id']}/containers")]
    assert names == ["now"]


def test_each_touched_minute_is_marked_once(service: Service) -> None:
    for age in (0, 0, 180):
        assert service.post({**report("minutes"), "age_s": age}).status_code == 200
    rows = service.sql(
        "SELECT minute FROM rollup_pending p JOIN hosts h ON h.id = p.host_id WHERE host_name = 'minutes'"
    )
    minutes = {datetime.fromisoformat(str(row[0])) for row in rows}
    sampled = service.sql(
        "SELECT r.sampled_at FROM reports r JOIN hosts h ON h.id = r.host_id WHERE host_name = 'minutes'"
    )
    assert minutes == {datetime.fromisoformat(str(row[0])).replace(second=0, microsecond=0) for row in sampled}
    assert len(rows) == len(minutes)
