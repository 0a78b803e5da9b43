"""A real browser, which keeps to the policies that pages come with."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.deployed import program

# No sandbox, because root runs the tests; the time is the page's own, which passes as fast as the page is ready.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=20000")


class Page(NamedTuple):
    """What a page became, and what its console says."""

    html: str
    console: list[str]


def opened(url: str, folder: Path) -> Page:
    """Opens a page in Chromium with a profile of its own."""
    profile = f"--user-data-dir={folder}"
    command = [program("chromium"), *OPTIONS, "--enable-logging=stderr", "--v=0", profile, "--dump-dom", url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return Page(run.stdout, re.findall(r":CONSOLE:\d+\] (.*)", run.stderr))
