"""A small disk that a test may fill: a tmpfs of its own, which only root can mount."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.fault_table import note


class Disk:
    """What is left on it goes into one file of zeros, and comes back when that is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leaves not one byte free."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC, error  # noqa: PT017 - anything else is not what was wanted

    def free(self) -> None:
        """Gives back what `fill` took."""
        self._ballast.unlink()


@contextmanager
def disk(path: Path, size_bytes: int, fault: str) -> Iterator[Disk]:
    """Mounts a disk at a path; where that is not allowed the test is left out, and the table says so."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        leave_out(fault, f"no disk of its own could be mounted ({done.stderr.splitlines()[0]})")
    try:
        yield Disk(path)
    finally:
        # Lazily: a server that is still on its way out may hold a file.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def leave_out(fault: str, reason: str) -> NoReturn:
    """Skips a test where the table of the faults shows that it did not run."""
    note(fault, "-", left_out=reason)
    pytest.skip(reason)
