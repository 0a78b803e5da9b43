import os
import time

import pytest
from uvicorn import Config
from uvicorn.supervisors.multiprocess import Process

from routers.workers import notice_deaths
from tests.elapsed import within

APP = Config("main:app", log_config=None)


class Dying(Process):
    """A worker that ends as soon as it has started."""

    def target(self, sockets: object = None) -> None:
        """Does nothing."""


@pytest.mark.skipif(os.name != "posix", reason="uvicorn is left as it is there")
def test_a_worker_that_died_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Process, "start", Process.start)  # puts it back afterwards
    notice_deaths()
    worker = Dying(APP, [])
    worker.start()
    worker.process.join(60)
    assert worker.exitcode == 0
    began = time.monotonic()
    assert worker.ping(30) is False
    took_s = time.monotonic() - began
    worker.kill()
    within(took_s, 2)
