"""Reading the log of a service: its lines are written a moment after the answer."""

import time
from collections.abc import Callable

from tests.service import Service


class Reader:
    """The lines that a service adds to its log from now on."""

    def __init__(self, service: Service) -> None:
        self._service, self._before = service, len(service.log)

    @property
    def text(self) -> str:
        """What was added so far."""
        return self._service.log[self._before :]

    def until(self, *parts: str) -> list[str]:
        """The lines added, once one of them holds all the parts."""
        wait_until(lambda: any(all(part in line for part in parts) for line in self.text.split("\n")))
        return self.text.splitlines()

    def all(self) -> list[str]:
        """The lines of everything that was answered before: one more request comes after them in the log."""
        mark = self._service.client.get("/health/live").headers["x-request-id"]
        return self.until(mark)[:-1]


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.005)
