"""Moments as whole microseconds, and the way between UTC and the operators' zone."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - every moment here is naive UTC, as the columns are
SECOND = 1_000_000


def micros(moment: datetime) -> int:
    """Gives a naive UTC moment as whole microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(micros_: int) -> datetime:
    """Gives microseconds since 1970 as a naive UTC moment."""
    return EPOCH + timedelta(microseconds=micros_)


def time_text(micros_: int) -> str:
    """Gives microseconds since 1970 as `YYYY-MM-DD HH:MM:SS.ffffff`, which every engine compares alike."""
    second, fraction = divmod(micros_, SECOND)
    return f"{_second_text(second)}.{fraction:06}"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """Cached: the reports of a batch share few seconds, and each of them has half a dozen moments to write."""
    return moment(second * SECOND).isoformat(" ")


def utc_text(at: datetime | None) -> str | None:
    """Gives a naive UTC moment as ISO 8601 with `Z`, to the microsecond."""
    return None if at is None else f"{at.isoformat(timespec='microseconds')}Z"


def to_zone(at: datetime, zone: tzinfo | None) -> datetime:
    """Turns a naive UTC moment into a naive local one; no zone means the machine's own, with its rules of that date."""
    return at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def from_zone(local: datetime, zone: tzinfo | None) -> datetime:
    """Turns a naive local time into naive UTC; the first of an hour that occurs twice is meant."""
    aware = local.replace(tzinfo=zone) if zone else local
    return aware.astimezone(UTC).replace(tzinfo=None)


@lru_cache(maxsize=8)
def local_second(second: int, zone: tzinfo | None) -> str:
    """Gives seconds since 1970 as local `YYYY-MM-DDTHH:MM:SS`; cached, for all reports of one second show the same."""
    return to_zone(moment(second * SECOND), zone).isoformat()
