"""A Docker engine and a Podman of the tests' own: data, socket and containers in a folder that goes with them.

Neither network nor image registry is used: the image is a tree of busybox, and no container has a network.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.database_server import is_root

APPLETS = ("sh", "sleep", "cat", "dd", "true", "false")
# Podman on such machines may not raise its own limits.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
START_S = 30
CGROUPS = Path("/sys/fs/cgroup")


class RealEngine:
    """One running engine. `run` starts a container and gives its id."""

    kind: str
    programs: Sequence[str]

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.socket = folder / "engine.sock"

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    def command(self) -> Sequence[str]:
        """What starts the engine."""
        raise NotImplementedError

    def client(self, *arguments: str, check: bool = True) -> str:
        """What its command line says."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What has to be done once, behind the start."""

    def image(self) -> Sequence[str]:
        """How `run` names what a container consists of."""
        raise NotImplementedError

    def run(self, name: str, *command: str, options: Sequence[str] = ()) -> str:
        """Starts a container in the background."""
        given = ["run", "-d", "--network", "none", *LIMITS, *options, "--name", name]
        return self.client(*given, *self.image(), *command).strip().splitlines()[-1]

    def remove_all(self) -> None:
        """At once: a container's first process does not hear SIGTERM, and Podman would wait for it."""
        if names := self.client("ps", "-aq", check=False).split():
            self.client("kill", *names, check=False)
            self.client("rm", "-f", *names, check=False)


class Docker(RealEngine):
    """Debian's docker.io, which needs no right to the machine's network this way."""

    kind, programs = "docker", ("dockerd", "docker", "containerd", "runc")

    def command(self) -> Sequence[str]:
        places = [f"--{name}={self.folder / name}" for name in ("data-root", "exec-root", "pidfile")]
        quiet = ["--iptables=false", "--bridge=none", "--storage-driver=vfs"]
        return ["dockerd", *quiet, "--exec-opt", "native.cgroupdriver=cgroupfs", "-H", self.address, *places]

    def client(self, *arguments: str, check: bool = True) -> str:
        return _run(["docker", "-H", self.address, *arguments], check=check)

    def prepare(self) -> None:
        tree = subprocess.run(["tar", "-C", self.root, "-c", "."], check=True, capture_output=True).stdout
        subprocess.run(
            ["docker", "-H", self.address, "import", "-", "box"], input=tree, check=True, capture_output=True
        )

    def image(self) -> Sequence[str]:
        return ["box"]


class Podman(RealEngine):
    """Podman's service; its containers run the tree itself."""

    kind, programs = "podman", ("podman", "conmon", "runc")

    def _podman(self) -> Sequence[str]:
        places = ["--root", str(self.folder / "data"), "--runroot", str(self.folder / "run")]
        how = ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", "runc", "--events-backend", "file"]
        return ["podman", *places, *how]

    def command(self) -> Sequence[str]:
        return [*self._podman(), "system", "service", "--time=0", self.address]

    def client(self, *arguments: str, check: bool = True) -> str:
        return _run([*self._podman(), *arguments], check=check)

    def image(self) -> Sequence[str]:
        return ["--rootfs", str(self.root)]


def _run(command: Sequence[str], *, check: bool) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def tree(folder: Path) -> Path:
    """The root of every container."""
    (folder / "bin").mkdir(parents=True)
    (folder / "tmp").mkdir()
    shutil.copy(str(shutil.which("busybox")), folder / "bin" / "busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    return folder


@contextmanager
def started(engine: type[RealEngine], folder: Path) -> Iterator[RealEngine]:
    """Starts an engine and ends it with all its containers; where it cannot run the test is left out, and says why."""
    missing = [name for name in (*engine.programs, "busybox") if not shutil.which(name)]
    if missing or not is_root():
        pytest.skip(f"{engine.kind} cannot run here: {missing or 'only root can start it'}")
    one = engine(folder, tree(folder / "root"))
    with (folder / "engine.log").open("wb") as log:
        child = subprocess.Popen(one.command(), stdout=log, stderr=log, start_new_session=True)
    try:
        _await(one, child, folder / "engine.log")
        one.prepare()
        yield one
    finally:
        one.remove_all()
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        _unmount(folder)


def _await(engine: RealEngine, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not engine.socket.exists() or not engine.client("version", check=False):
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{engine.kind} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _unmount(folder: Path) -> None:
    """An engine leaves mounts behind, and a folder with mounts in it cannot be removed."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(str(folder))), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


def cpu_ns(container: str) -> int:
    """What the kernel's own counter of a container's cgroup says; version 1 and 2 have other files for it."""
    for path in CGROUPS.rglob(f"*{container}*"):
        for name, scale in (("cpuacct.usage", 1), ("cpu.stat", 1000)):
            file = path / name
            if file.exists() and (found := _counter(file, scale)) is not None:
                return found
    raise RuntimeError(f"no cgroup of {container}")


def _counter(file: Path, scale: int) -> int | None:
    text = file.read_text(encoding="ascii")
    if text.strip().isdecimal():
        return int(text)
    usage = [line.split()[1] for line in text.splitlines() if line.startswith("usage_usec")]
    return int(usage[0]) * scale if usage else None


def shown_by_stats(engine: RealEngine, name: str) -> dict[str, str]:
    """What `docker stats` shows."""
    form = '{"memory": "{{.MemUsage}}", "share": "{{.MemPerc}}", "cpu": "{{.CPUPerc}}"}'
    found: dict[str, str] = json.loads(engine.client("stats", "--no-stream", "--format", form, name))
    return found
