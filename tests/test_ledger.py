import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faultkit import until
from tests.ledger import Ledger
from tests.processes import free_port
from tests.service import process, settings_for

KILLS = 4


def acknowledges(ledger: Ledger) -> None:
    """Waits until a server that was just started has stored a report."""
    began = time.monotonic()
    until(lambda: ledger.since(began), 30)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, port = new_url(engine), free_port()
    log = str(tmp_path / "app.log")
    environ = {"DATABASE_URL": url, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(port), "LOGGING_FILE_PATH": log}
    ledger = Ledger(f"http://127.0.0.1:{port}")
    with ledger.running():
        for _ in range(KILLS):
            with process(["main.py"], environ, tmp_path):
                acknowledges(ledger)
                time.sleep(random.uniform(0.05, 0.8))
        with process(["main.py"], environ, tmp_path):
            ledger.finish()
    ledger.check(settings_for(url, tmp_path))
    assert len(ledger.acknowledged) > 100
    assert ledger.statuses <= {200, 503}
