"""The pictures of the README, of the demo fleet: `python -m tests.pictures` makes those in `docs/pictures` anew."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect

from config.config import ROOT
from tests.console import manage
from tests.dashboard import Console, browsing, opened
from tests.service import Service, running, settings_for

FOLDER = ROOT / "docs" / "pictures"
HOSTS, CONTAINERS, HOURS = 50, 20, 3
THEMES = ("light", "dark")
# What each shows, and what is there once it is drawn.
PICTURES = {
    "fleet": ("/?sort=-cpu_percentage", "tbody .spark path[d^=M]"),
    "host": ("/hosts/1?range=6h", ".chart .scatterlayer .trace"),
    "containers": ("/containers?sort=-cpu_percentage", "tbody tr"),
}
SIZE = {"width": 1200, "height": 800}


@contextmanager
def demo(folder: Path) -> Iterator[Service]:
    """A service with the demo fleet, small enough to be made while one waits."""
    url = f"sqlite:///{folder}/demo.db"
    asked = {"--hosts": HOSTS, "--containers": CONTAINERS, "--hours": HOURS}
    done = manage(url, "demo", *(f"{word}" for pair in asked.items() for word in pair))
    assert done.status == 0, done.words
    with running(settings_for(url, folder)) as service:
        yield service


def take(browser: Browser, service: Service, folder: Path) -> list[Path]:
    """Takes all of them into a folder."""
    return [_taken(browser, service, folder, name, theme) for name in PICTURES for theme in THEMES]


def _taken(browser: Browser, service: Service, folder: Path, name: str, theme: str) -> Path:
    path, drawn = PICTURES[name]
    file = folder / f"{name}-{theme}.png"
    with opened(browser, Console(service.url), viewport=SIZE, color_scheme=theme) as page:
        page.goto(path)
        expect(page.locator(drawn).first).to_be_attached()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=file)
    return file


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, demo(Path(made)) as service, browsing() as browser:
        for file in take(browser, service, FOLDER):
            sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
