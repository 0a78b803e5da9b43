"""What is removed when, and whether the clock is believed by which that is decided."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from config.settings import Monitoring
from database import retention
from database.retention import Expire
from model.history import TIERS

# What a clock may be corrected by without anyone's harm.
SLACK = timedelta(minutes=1)


def expiries(monitoring: Monitoring, now: datetime) -> Iterator[tuple[str, Expire]]:
    """What is removed of which table, in the order in which it may be; what is kept for ever is left out."""
    kept = kept_days(monitoring)
    for name, days in kept.items():
        if days:
            cutoff = now - timedelta(days=days)
            yield from removals(name, cutoff if name == "reports" else _midnight(cutoff), now).items()
    if days := monitoring.events_retention_days:
        yield "events", partial(retention.expire_events, cutoff=_midnight(now - timedelta(days=days)))
    if all(kept.values()):
        yield "series", partial(retention.expire_series, cutoff=now - timedelta(days=max(kept.values())))


def _midnight(at: datetime) -> datetime:
    """The day's beginning: a day of one series lies together, and goes at once instead of in a hundred pieces."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def kept_days(monitoring: Monitoring) -> dict[str, int]:
    """For how many days the reports, with their containers, and the aggregates are kept; 0: for ever."""
    tiers = (monitoring.retention_1m_days, monitoring.retention_10m_days, monitoring.retention_1h_days)
    return {"reports": monitoring.retention_raw_days} | {
        f"rollup_{seconds}": days for seconds, days in zip(TIERS, tiers, strict=True)
    }


def removals(name: str, cutoff: datetime, now: datetime) -> dict[str, Expire]:
    """How what is older goes, of the reports with their containers or of one tier of aggregates."""
    if name == "reports":
        return {
            "containers": partial(retention.expire_containers, cutoff=cutoff),
            "reports": partial(retention.expire_reports, cutoff=cutoff, now=now),
        }
    seconds = int(name.removeprefix("rollup_"))
    return {name: partial(retention.expire_buckets, seconds=seconds, cutoff=cutoff)}


class Trust:
    """Compares the database's clock with the time that passed here since it was last believed.

    A clock that jumped ahead is believed again once as much time has passed as it jumped: then nothing is removed that
    would not have been removed by then.
    """

    def __init__(self) -> None:
        self._believed: tuple[datetime, float] | None = None

    def believes(self, now: datetime, monotonic_s: float) -> bool:
        """Whether the clock moved by at most twice the time that passed."""
        if self._believed is not None:
            moved, passed_s = now - self._believed[0], monotonic_s - self._believed[1]
            if moved > timedelta(seconds=2 * passed_s) + SLACK:
                return False
        self._believed = (now, monotonic_s)
        return True
