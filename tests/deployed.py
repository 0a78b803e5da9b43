"""The files of deploy/, read the way their programs read them, and nginx with its sample."""

import os
import re
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import trustme
import yaml

from config.config import ROOT
from tests.processes import Home, free_port
from tests.programs import wait_for

DEPLOY = ROOT / "deploy"
SECONDS = {"s": 1, "m": 60, "h": 3600}
BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# What stands around the sample where it is used; the folders are those that only root could write to.
AROUND = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
    {temporary}
    include {folder}/sample.conf;
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def words(name: str) -> str:
    """The text of one file."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def program(name: str) -> str:
    """The path of a program, also beside this Python or where only root's PATH looks; skips the test without it."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    return shutil.which(name, path=os.pathsep.join(places)) or pytest.skip(
        f"{name} is not installed (tests/install.sh)"
    )


def seconds(text: str) -> int:
    """A period as compose, systemd and nginx write it."""
    return int(text[:-1]) * SECONDS[text[-1]]


def size(text: str) -> int:
    """Bytes as nginx writes them."""
    return int(text[:-1]) * BYTES[text[-1]]


def instructions(name: str) -> list[str]:
    """What follows each instruction of this name in the Dockerfile."""
    lines = words("Dockerfile").replace("\\\n", "").splitlines()
    return [rest for word, _, rest in (line.partition(" ") for line in lines) if word == name]


def image_environment() -> dict[str, str]:
    """What the image sets, but for its PATH."""
    given = dict(pair.split("=", 1) for pair in instructions("ENV")[0].split())
    return {name: value for name, value in given.items() if name != "PATH"}


def in_image(path: str) -> bool:
    """Whether .dockerignore lets a file of the project into the image: its last line that fits decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and _fits(path, line.removeprefix("!")):
            kept = line.startswith("!")
    return kept


def _fits(path: str, pattern: str) -> bool:
    """As Docker sees it: a line means what it names and all below it; `**/` is wherever it may be."""
    if pattern.startswith("**/"):
        return pattern.removeprefix("**/") in path.split("/")
    whole = PurePosixPath("/", path)
    return any(one.match(f"/{pattern}") for one in (whole, *whole.parents))


def image_files() -> list[str]:
    """The project's files that the image gets."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    paths = [path for one in kept for start in ROOT.glob(one) for path in (start, *start.rglob("*")) if path.is_file()]
    return [name for name in (path.relative_to(ROOT).as_posix() for path in paths) if in_image(name)]


def compose() -> dict[str, Any]:
    """The compose file."""
    document: dict[str, Any] = yaml.safe_load(words("compose.yaml"))
    return document


def unit(key: str) -> list[str]:
    """What the systemd unit gives a key, line by line."""
    lines = (line.partition("=") for line in words("resource-monitor.service").splitlines())
    return [value for name, _, value in lines if name == key]


def directives(name: str) -> list[str]:
    """What the sample for nginx gives a directive, in the order of its lines."""
    return re.findall(rf"^\s*{name} ([^;{{]+);", words("nginx.conf"), re.MULTILINE)


class Front:
    """A running nginx: by HTTP at `url`, by TLS at `tls_url`, to those who trust the certificates of `trust`."""

    def __init__(self, home: Home, instances: Sequence[int]) -> None:
        self._home = home
        plain, encrypted = free_port(), free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{encrypted}"
        self.port = plain
        self.trust = ssl.create_default_context()
        self._configure(
            {
                "10.0.0.11:8000": f"127.0.0.1:{instances[0]}",
                "10.0.0.12:8000": f"127.0.0.1:{instances[1]}",
                "listen 80;": f"listen 127.0.0.1:{plain};",
                "listen 443 ssl;": f"listen 127.0.0.1:{encrypted} ssl;",
                "/etc/nginx/tls": str(home.path),
                "/var/log/nginx": str(home.path),
            }
        )

    @property
    def command(self) -> list[str]:
        """How it is called."""
        return [program("nginx"), "-p", str(self._home.path), "-c", "nginx.conf", "-e", "stderr"]

    @property
    def log(self) -> str:
        """The sample's access log; asked for a new file, nginx writes what it holds back."""
        self._home.signal(signal.SIGUSR1)
        return (self._home.path / "resource-monitor.log").read_text(encoding="utf-8")

    def answers(self) -> bool:
        """Whether it listens; no instance hears of the question."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _configure(self, places: Mapping[str, str]) -> None:
        sample, folder = words("nginx.conf"), self._home.path
        for shipped, here in places.items():
            assert shipped in sample
            sample = sample.replace(shipped, here)
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
        (folder / "sample.conf").write_text(sample, encoding="utf-8")
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user, temporary=temporary))
        authority = trustme.CA()
        authority.configure_trust(self.trust)
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(folder / "monitor.pem")
        issued.private_key_pem.write_to_path(folder / "monitor.key")


@contextmanager
def nginx(*instances: int) -> Iterator[Front]:
    """Start nginx with the sample before two instances on these ports of this machine; ended whatever happens."""
    program("nginx")
    home = Home(Path(tempfile.gettempdir()))
    try:
        front = Front(home, instances)
        home.launch(front.command)
        wait_for(lambda: front.answers() or not home.pid, what=home.log)
        assert home.pid, home.log()
        yield front
    finally:
        home.signal(signal.SIGTERM)
        home.wait(20)
        home.remove()
