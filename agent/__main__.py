"""`python -m agent`: samples at a fixed interval, keeps each report in the spool, and has it sent."""

from __future__ import annotations

import json
import logging
import random
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

try:
    from agent.clock import Clock
    from agent.notices import Notices
    from agent.sampler import Sampler
    from agent.sender import Sender
    from agent.server import Server
    from agent.settings import Settings, SettingsError, load
    from agent.spool import Spool, SpoolError
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is missing: {sys.executable} -m pip install -r agent/requirements.txt")

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("agent")

# A first sample needs a moment before it over which CPU time is counted.
FIRST_S = 1.0
STOP_S = 5.0


def main() -> int:
    """Runs until SIGTERM or SIGINT; 2 if it cannot begin."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    stop = threading.Event()
    try:
        settings = load(sys.argv[1:])
        if settings.once:
            sys.stdout.write(json.dumps(_first(settings), ensure_ascii=False, indent=1) + "\n")
            return 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _run(settings, stop)
    except (SettingsError, SpoolError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _first(settings: Settings) -> object:
    sampler = Sampler(settings, Notices())
    sampler.prime()
    time.sleep(FIRST_S)
    report = sampler.sample()
    sampler.close()
    return report


def _run(settings: Settings, stop: threading.Event) -> None:
    clock, notices = Clock(), Notices()
    server = _server(settings)
    spool = Spool(
        settings.spool,
        clock,
        notices,
        max_bytes=settings.spool_max_mb * (1 << 20),
        max_age_s=settings.spool_max_hours * 3600,
    )
    sampler, sender = Sampler(settings, notices), Sender(spool, server, clock, notices)
    logger.info("reporting to %s every %g s; %d reports wait", server.url, settings.interval, len(spool))
    _guarded(sampler.prime)
    sender.start()
    due = time.monotonic() + FIRST_S
    # So that a fleet that was started at once does not report at once ever after.
    jitter = random.uniform(-0.5, 0.5) * settings.interval  # noqa: S311 - not a secret
    while not stop.wait(max(due - time.monotonic(), 0)):
        _guarded(lambda: spool.append(_text(sampler.sample()), clock.now()))
        sender.wake()
        due, jitter = _next(due + jitter, settings.interval), 0.0
    sender.stop(STOP_S)
    spool.close()
    sampler.close()


def _guarded(sampled: Callable[[], None]) -> None:
    try:
        sampled()
    except Exception:  # the loop's top: a sample that fails costs only itself
        logger.exception("no sample this time")


def _text(report: dict[str, Any]) -> str:
    """As ASCII: so its length is that of its bytes, and every text can be written."""
    return json.dumps(report, separators=(",", ":"))


def _next(due: float, interval: float) -> float:
    """The next beat that is not past: a sample that took long moves none of them."""
    missed = max((time.monotonic() - due) // interval, 0)
    return due + (missed + 1) * interval


def _server(settings: Settings) -> Server:
    try:
        return Server(settings.server, settings.token, settings.ca_file)
    except OSError as error:
        raise SettingsError(f"--ca-file {settings.ca_file}: {error.strerror or error}") from None


if __name__ == "__main__":
    sys.exit(main())
