"""What the agent's loop makes of a sample."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import __main__ as program
from agent.clock import Clock
from agent.notices import Notices
from agent.settings import load
from agent.spool import Spool

pytestmark = pytest.mark.agent


def test_a_sample_that_fails_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("no /proc")

    program._guarded(broken)
    [line] = caplog.records
    assert (line.message, line.levelname) == ("no sample this time", "ERROR")
    assert "no /proc" in caplog.text


def test_every_text_can_be_kept(tmp_path: Path) -> None:
    report = {"host": {"host_name": "\uc11c\uc6b8 \ud800"}, "containers": []}
    spool = Spool(tmp_path, Clock(), Notices(), max_bytes=1 << 20, max_age_s=60)
    text = program._text(report)
    spool.append(text, Clock().now())
    [kept] = spool.oldest(1, 1)
    spool.close()
    assert len(text) == len(text.encode())
    assert json.loads(kept.report) == report


def test_a_first_sample_that_fails_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no /proc")

    monkeypatch.setattr("agent.sampler.Sampler.prime", broken)
    settings = load(["--spool", str(tmp_path), "--server", "http://127.0.0.1:1"], {})
    stopped: object = SimpleNamespace(wait=lambda _: True)
    program._run(settings, stopped)  # type: ignore[arg-type]  # an event that is set after the first wait
    assert [line.message for line in caplog.records if line.levelname == "ERROR"] == ["no sample this time"]
