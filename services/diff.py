"""What is different between two states of the fleet: containers that came, went or changed, and what moved most."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

MOVES = ("cpu_percentage", "memory_usage")


class Seen(Protocol):
    """A container at one of the moments; `seconds` is 0 of a report, else those of the bucket that answers."""

    host_id: int
    host_name: str
    engine_type: str
    container_name: str
    status: str
    image: str | None
    cpu_percentage: float | None
    memory_usage: float | None
    seconds: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A container before and after; None where it was not there."""

    before: Seen | None
    after: Seen | None

    @property
    def known(self) -> Seen:
        """The container, when it was last there."""
        known = self.after or self.before
        assert known is not None  # noqa: S101 - a pair has at least one of the two
        return known


@dataclass(slots=True)
class Part:
    """The first so many of what is alike, and how many there are."""

    limit: int
    count: int = 0
    pairs: list[Pair] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        """Counts it, and keeps it if there is room."""
        self.count += 1
        if len(self.pairs) < self.limit:
            self.pairs.append(pair)


class Movers:
    """Those that changed most in one metric, whichever way."""

    def __init__(self, metric: str, limit: int) -> None:
        self._metric, self._limit = metric, limit
        self._heap: list[tuple[float, int, float, Pair]] = []
        self._numbers = count(0, -1)  # of equal changes the earlier one stays

    def add(self, pair: Pair) -> None:
        """Keeps it if it is among the largest so far."""
        before, after = getattr(pair.before, self._metric, None), getattr(pair.after, self._metric, None)
        if before is None or after is None or before == after:
            return
        push = heapq.heappush if len(self._heap) < self._limit else heapq.heappushpop
        push(self._heap, (abs(after - before), next(self._numbers), after - before, pair))

    def largest(self) -> list[tuple[float, Pair]]:
        """The change, with its sign, and of what; the largest first."""
        return [(change, pair) for _, _, change, pair in sorted(self._heap, reverse=True)]


class Difference:
    """Grows by one part of the fleet at a time; what it keeps is bounded by the limit, however large the fleet is."""

    def __init__(self, limit: int) -> None:
        self.appeared, self.vanished, self.changed = Part(limit), Part(limit), Part(limit)
        self.movers = {metric: Movers(metric, limit) for metric in MOVES}
        # Of each moment how many containers there were, and the seconds of the coarsest bucket that answers.
        self.counts, self.coarsest = [0, 0], [0, 0]

    def add(self, before: Iterable[Seen], after: Iterable[Seen]) -> None:
        """Takes the containers of some hosts at both moments; of equal names in one report the first counts."""
        sides = [_named(side) for side in (before, after)]
        for place, side in enumerate(sides):
            self.counts[place] += len(side)
            self.coarsest[place] = max([self.coarsest[place], *(one.seconds for one in side.values())])
        for name in sorted(sides[0].keys() | sides[1].keys()):
            self._judge(Pair(sides[0].get(name), sides[1].get(name)))

    def _judge(self, pair: Pair) -> None:
        if pair.before is None:
            self.appeared.add(pair)
        elif pair.after is None:
            self.vanished.add(pair)
        else:
            if _changed(pair.before, pair.after):
                self.changed.add(pair)
            for movers in self.movers.values():
                movers.add(pair)


def difference(sides: Iterable[tuple[Sequence[Seen], Sequence[Seen]]], limit: int) -> Difference:
    """What is different, of the whole fleet."""
    made = Difference(limit)
    for before, after in sides:
        made.add(before, after)
    return made


def _named(side: Iterable[Seen]) -> Mapping[tuple[int, str, str], Seen]:
    named: dict[tuple[int, str, str], Seen] = {}
    for one in side:
        named.setdefault((one.host_id, one.engine_type, one.container_name), one)
    return named


def _changed(before: Seen, after: Seen) -> bool:
    """An image that one of the two does not tell is no change."""
    return before.status != after.status or (None not in (before.image, after.image) and before.image != after.image)
