"""The verdict on a duration: the only failure that is tried again, as a machine that is busy otherwise brings it about.

It is told after every other assertion of a test, so that a second try hides nothing else.
"""

import sys


class TooSlow(AssertionError):
    """Something took longer than it may."""


def within(took: float, limit: float, what: str = "s") -> None:
    """Fails if it took more than the limit; `what` is the unit, and what was measured if that is not plain."""
    if not took <= limit:
        # A failure that is already on its way becomes its cause, and then it is not tried again.
        raise TooSlow(f"{took:g} {what}, where the limit is {limit:g}") from sys.exception()
