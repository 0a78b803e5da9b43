"""A server process of the tests with a directory of its own; both go with the tests, whatever ends them."""

import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Below the ports that systems give to outgoing connections: nobody takes one while its server is down.
PORTS = range(20_000, 32_000)
# Reads process ids, one a line, until the tests close the pipe or die of anything; then ends the last and tidies up.
WATCH = """
last=
while read -r pid; do last=$pid; done
if [ -n "$last" ]; then kill -KILL "$last"; sleep 1; fi
rm -rf -- "$1"
"""


class Home:
    """One directory and at most one process at a time."""

    def __init__(self, parent: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="resource-monitor-test-", dir=parent))
        self._process: subprocess.Popen[bytes] | None = None
        watch = ["sh", "-c", WATCH, "watch", str(self.path)]
        # Sessions of their own keep Ctrl-C from the watcher and the server: the tests end first, in good order.
        self._watcher = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)

    @property
    def pid(self) -> int | None:
        """The process id; None while no process runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def launch(self, command: Sequence[str]) -> None:
        """Start a process that writes to server.log."""
        with (self.path / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._tell_watcher(str(self._process.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if there is one."""
        if self._process:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Wait until the process is gone, kill it if that takes too long, and return its exit status."""
        if not self._process:
            return 0
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process = None
        self._tell_watcher("")
        return status

    def log(self) -> str:
        """The end of what the process wrote."""
        return (self.path / "server.log").read_text(errors="replace")[-2000:]

    def remove(self) -> None:
        """Remove the directory: the watcher does it when its pipe closes."""
        self._watcher.communicate()

    def _tell_watcher(self, line: str) -> None:
        if self._watcher.stdin:
            self._watcher.stdin.write(f"{line}\n".encode())
            self._watcher.stdin.flush()


def free_port() -> int:
    """Find a loopback port nobody listens on."""
    while True:
        port = secrets.choice(PORTS)  # `random` gives two sessions of one seed the same ports
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
