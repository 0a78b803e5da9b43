"""How the agents report: noted in memory with each report, and about once a minute in the database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from database.agents import Heard
from utils.utils import SECOND, micros, moment

PORTION = 200
# Of more hosts than this the one that was not heard for longest is forgotten until it reports again.
MAX_HOSTS = 20_000
# A gap is more than so many of the host's usual intervals; the usual one follows what is by an eighth.
GAP, SHARE = 2.5, 8
# Zones differ by quarters of an hour; what remains is what a clock is wrong by.
QUARTER_S = 900


class Sign(NamedTuple):
    """What a report shows of its agent: where it comes from, what it calls itself, its token, its clock.

    `at` is when it was measured, in microseconds since 1970 by the database's clock; `told` is what the agent says.
    """

    host_id: int
    address: str
    agent: str | None
    token_id: str | None
    at: int
    told: str | None


@dataclass(slots=True)
class _Host:
    """What is known of one host's agent, and what was counted since it was noted last."""

    sign: Sign
    usual_s: float | None = None
    reports: int = 0
    repeats: int = 0
    gaps: int = 0
    refused: int = 0
    last_refusal: str | None = None
    refused_at: int | None = None


class Agents:
    """What one process has heard, by the hosts' names."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}

    def stored(self, host_name: str, sign: Sign, *, repeat: bool) -> None:
        """A report was stored, or had been already."""
        host = self._hosts.pop(host_name, None) or _Host(sign)
        self._hosts[host_name] = host  # the last of all: the first was not heard for longest
        if len(self._hosts) > MAX_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        host.reports += not repeat
        host.repeats += repeat
        if sign.at >= host.sign.at:  # else it is a backlog's
            _measure(host, (sign.at - host.sign.at) / SECOND)
            host.sign = sign

    def refused(self, host_name: str, code: str, at: int) -> None:
        """A report was refused; of hosts that were never heard nothing is kept, or a flood would fill the memory."""
        if host := self._hosts.get(host_name):
            host.refused += 1
            host.last_refusal, host.refused_at = code, at

    def take(self) -> Iterator[list[Heard]]:
        """What was heard and is not noted yet, in portions; a portion is noted once the next one is asked for."""
        hosts = [host for host in self._hosts.values() if host.reports or host.repeats or host.refused]
        for start in range(0, len(hosts), PORTION):  # each when it is asked for: all at once would hold the event loop
            portion = hosts[start : start + PORTION]
            heard = [_heard(host) for host in portion]
            yield heard
            for host, noted in zip(portion, heard, strict=True):
                _forget(host, noted)


def _measure(host: _Host, passed_s: float) -> None:
    """Whether it was silent for longer than usual, and what is usual."""
    if passed_s <= 0:
        return
    usual = host.usual_s
    if usual is not None and passed_s > GAP * usual:
        host.gaps += 1
    else:
        host.usual_s = passed_s if usual is None else usual + (passed_s - usual) / SHARE


def _forget(host: _Host, noted: Heard) -> None:
    """What was counted meanwhile stays."""
    host.reports -= noted.reports
    host.repeats -= noted.repeats
    host.gaps -= noted.gaps
    host.refused -= noted.refused
    if not host.refused:
        host.last_refusal = host.refused_at = None


def _heard(host: _Host) -> Heard:
    sign = host.sign
    skew_s, offset_min = clock_of(sign)
    return Heard(
        sign.host_id,
        sign.address,
        sign.agent,
        sign.token_id,
        moment(sign.at),
        host.reports,
        host.repeats,
        host.gaps,
        host.refused,
        host.last_refusal,
        moment(host.refused_at) if host.refused_at else None,
        skew_s,
        offset_min,
    )


def clock_of(sign: Sign) -> tuple[float | None, int | None]:
    """What an agent's clock is ahead by in seconds, and in what zone it seems to be, in minutes east of UTC.

    Agents send local times without an offset: the zone is taken to be the quarter of an hour next to the difference.
    """
    if sign.told is None:
        return None, None
    ahead_s = (micros(datetime.fromisoformat(sign.told)) - sign.at) / SECOND
    quarters = round(ahead_s / QUARTER_S)
    return round(ahead_s - quarters * QUARTER_S, 1), quarters * QUARTER_S // 60
