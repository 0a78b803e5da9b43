import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.schema import CreateTable

from database import leases
from model import models
from tests.schema_engine import Target, target

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(engine: str, new_url: Callable[[str], str]) -> Iterator[Target]:
    with target(new_url(engine)) as one:
        with one.engine.begin() as connection:
            connection.execute(CreateTable(models.leases))
        yield one


def take(one: Target, name: str, ttl_s: float = 30) -> leases.Lease | None:
    return leases.take(one.engine, one.dialect, name, ttl_s)


def keep(one: Target, lease: leases.Lease) -> None:
    with one.engine.begin() as connection:
        leases.keep(connection, one.dialect, lease)


def test_a_lease_has_one_holder(database: Target) -> None:
    assert take(database, "one")
    assert take(database, "one") is None


def test_leases_of_different_names_are_independent(database: Target) -> None:
    assert take(database, "left")
    assert take(database, "right")


def test_a_lease_is_free_after_its_block(database: Target) -> None:
    with leases.held(database.engine, database.dialect, "block", 30) as lease:
        assert lease
    assert take(database, "block")


def test_a_lease_is_free_after_its_block_failed(database: Target) -> None:
    with pytest.raises(ZeroDivisionError), leases.held(database.engine, database.dialect, "failed", 30):
        raise ZeroDivisionError
    assert take(database, "failed")


def test_a_lease_that_another_holds_gives_none(database: Target) -> None:
    take(database, "taken")
    with leases.held(database.engine, database.dialect, "taken", 30) as lease:
        assert lease is None


def test_a_lease_runs_out_and_the_fence_grows(database: Target) -> None:
    first = take(database, "fence", ttl_s=0.1)
    time.sleep(0.2)
    second = take(database, "fence")
    assert first
    assert second
    assert second.fence == first.fence + 1


def test_a_held_lease_outlives_its_time(database: Target) -> None:
    with leases.held(database.engine, database.dialect, "renewed", 0.6):
        time.sleep(1)
        assert take(database, "renewed") is None


def test_a_holder_that_slept_too_long_may_not_commit(database: Target) -> None:
    sleeper = take(database, "slept", ttl_s=0.1)
    time.sleep(0.2)
    take(database, "slept")
    assert sleeper
    with pytest.raises(leases.LeaseLost):
        keep(database, sleeper)


def test_a_holder_that_slept_too_long_does_not_free_the_next(database: Target) -> None:
    sleeper = take(database, "kept", ttl_s=0.1)
    time.sleep(0.2)
    take(database, "kept")
    assert sleeper
    leases.release(database.engine, database.dialect, sleeper)
    assert take(database, "kept") is None


def test_a_renewal_notices_the_loss_and_ends(database: Target) -> None:
    with leases.held(database.engine, database.dialect, "stolen", 0.3):
        database.sql("UPDATE leases SET fence = 99 WHERE name = 'stolen'")
        time.sleep(0.5)
    assert database.sql("SELECT fence FROM leases WHERE name = 'stolen'") == [(99,)]


def test_a_failed_renewal_is_tried_again(database: Target) -> None:
    with leases.held(database.engine, database.dialect, "table", 1.2):
        database.sql("ALTER TABLE leases RENAME TO gone")
        time.sleep(0.6)
        database.sql("ALTER TABLE gone RENAME TO leases")
        time.sleep(1)
        assert take(database, "table") is None
