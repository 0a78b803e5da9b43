import gc
import sys
from pathlib import Path

import pytest

import main
from tests.service import running, settings_for


def test_the_interpreter_is_shared_finely_and_garbage_collected_seldom_while_it_serves(tmp_path: Path) -> None:
    usual = sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()
    with running(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path)):
        assert sys.getswitchinterval() == pytest.approx(main.SWITCH_INTERVAL_S)
        assert gc.get_threshold() == main.GC_THRESHOLDS
        assert gc.get_freeze_count() > usual[2]
    assert sys.getswitchinterval() == pytest.approx(usual[0])
    assert gc.get_threshold() == usual[1]
