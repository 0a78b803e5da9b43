"""Says what is wrong once, not at every try."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("agent")
AGAIN_S = 3600.0


class Notices:
    """Remembers for each topic what was said of it, and says the same again after an hour only."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float]] = {}

    def tell(self, topic: str, message: str, *, about: str | None = None) -> None:
        """Warns; `about` is what makes it the same, where the message has figures that change."""
        same, now = about or message, time.monotonic()
        before, at = self._said.get(topic, ("", 0.0))
        if before != same or now - at >= AGAIN_S:
            logger.warning("%s", message)
            self._said[topic] = same, now

    def over(self, topic: str, message: str) -> None:
        """Tells that it is right again, if anything was said to be wrong."""
        if self._said.pop(topic, None):
            logger.info("%s", message)
