"""The pictures of the README: they can be made, and those that it shows are there."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from config.config import ROOT
from tests.pictures import FOLDER, PICTURES, THEMES, demo, take

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
MAX_BYTES = 200_000
PNG = b"\x89PNG"


def test_the_demo_fleet_makes_the_pictures(browser: Browser, tmp_path: Path) -> None:
    with demo(tmp_path) as service:
        files = take(browser, service, tmp_path)
    assert [file.name for file in files] == [f"{name}-{theme}.png" for name in PICTURES for theme in THEMES]
    for file in files:
        assert file.read_bytes().startswith(PNG)
        assert file.stat().st_size < MAX_BYTES


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_a_readme_shows_pictures_that_are_there(readme: str) -> None:
    shown = set(re.findall(r"docs/pictures/([\w-]+\.png)", (ROOT / readme).read_text(encoding="utf-8")))
    assert shown == {file.name for file in FOLDER.glob("*.png")}
    assert all((FOLDER / name).stat().st_size < MAX_BYTES for name in shown)
