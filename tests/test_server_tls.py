import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from config.config import ROOT, ConfigError
from routers import tls
from routers.serving import options
from tests.processes import free_port
from tests.programs import MAIN, Program, program, uvicorn, wait_for
from tests.raw import connect
from tests.servers import CANARY
from tests.service import report, running, settings_for

pytestmark = [pytest.mark.security, pytest.mark.slow]


class Certificate:
    """The files of a certificate for this machine, and who trusts it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        self.ca, self.certfile, self.keyfile = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
        authority.cert_pem.write_to_path(self.ca)
        for pem in issued.cert_chain_pems:
            pem.write_to_path(self.certfile, append=True)
        issued.private_key_pem.write_to_path(self.keyfile)
        self.trust = ssl.create_default_context(cafile=str(self.ca))

    @property
    def environ(self) -> dict[str, str]:
        return {"SERVER_SSL_CERTFILE": str(self.certfile), "SERVER_SSL_KEYFILE": str(self.keyfile)}

    def lock(self, password: str) -> None:
        """Gives the key a password."""
        key = serialization.load_pem_private_key(self.keyfile.read_bytes(), None)
        shut = serialization.BestAvailableEncryption(password.encode())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        self.keyfile.write_bytes(key.private_bytes(*form, shut))


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Certificate(folder)


@pytest.fixture
def client(certificate: Certificate) -> Iterator[httpx.Client]:
    with httpx.Client(verify=certificate.trust, timeout=20) as one:
        yield one


def https(one: Program) -> str:
    return one.url.replace("http:", "https:")


def ready(one: Program, client: httpx.Client) -> None:
    def answers() -> bool:
        try:
            return client.get(f"{https(one)}/health").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, what=lambda: one.output)


def test_the_server_itself_serves_by_tls(certificate: Certificate, client: httpx.Client, tmp_path: Path) -> None:
    with program(MAIN, f"sqlite:///{tmp_path}/test.db", tmp_path, 0, **certificate.environ) as one:
        ready(one, client)
        assert client.post(f"{https(one)}/api/resources", json=report("tls", "web")).json()["resultCode"] == "0"
        assert f"{https(one)}/docs\n" in one.output
        assert "http://" not in one.output
        with connect(one.port) as raw, certificate.trust.wrap_socket(raw, server_hostname="localhost") as secured:
            assert secured.version() in ("TLSv1.2", "TLSv1.3")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{one.url}/health", timeout=20)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{https(one)}/health", timeout=20)
        one.stop()
    assert one.child.returncode == 0
    assert "WARNING" not in one.log


def test_several_workers_serve_by_tls(
    certificate: Certificate, client: httpx.Client, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    with program(MAIN, new_url("mariadb"), tmp_path, 0, SERVER_WORKERS="2", **certificate.environ) as one:
        ready(one, client)
        wait_for(lambda: one.log.count(" database_up ") >= 2)
        assert client.post(f"{https(one)}/api/resources", json=report("tls", "web")).json()["resultCode"] == "0"


def test_the_bundled_agent_reports_by_tls(certificate: Certificate, client: httpx.Client, tmp_path: Path) -> None:
    with program(MAIN, f"sqlite:///{tmp_path}/test.db", tmp_path, 0, **certificate.environ) as one:
        ready(one, client)
        command = [
            "-m",
            "agent",
            "--server",
            https(one),
            "--ca-file",
            str(certificate.ca),
            "--spool",
            str(tmp_path / "s"),
        ]
        with (tmp_path / "agent.log").open("w") as log:
            agent = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for(
                lambda: client.get(f"{https(one)}/api/hosts").json()["data"] != [],
                what=(tmp_path / "agent.log").read_text,
                within_s=40,
            )
        finally:
            agent.terminate()
            agent.wait(20)


@pytest.mark.parametrize("address", ["right", "none"])
def test_a_key_with_a_password_is_opened_by_it(certificate: Certificate, tmp_path: Path, address: str) -> None:
    certificate.lock(CANARY)
    given = {"SERVER_SSL_KEYFILE_PASSWORD": CANARY} if address == "right" else {}
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, **certificate.environ, **given)
    if given:
        assert options(settings)["ssl_keyfile_password"] == CANARY
    else:
        with pytest.raises(ConfigError, match="ssl_keyfile_password"):
            options(settings)


def test_tls_1_2_is_the_least(certificate: Certificate) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    assert tls.context_of(None, lambda: context).minimum_version is ssl.TLSVersion.TLSv1_2  # type: ignore[arg-type]
    assert certificate.trust.minimum_version is ssl.TLSVersion.TLSv1_2


def refused_start(tmp_path: Path, **environ: str) -> str:
    with program(MAIN, f"sqlite:///{tmp_path}/test.db", tmp_path, 0, **environ) as one:
        assert one.child.wait(30) == 1
    assert one.output.count("\n") == 1, one.output
    assert one.output.startswith("configuration: [server] ssl_certfile = ")
    return one.output


def test_a_key_of_another_certificate_is_one_sentence(certificate: Certificate, tmp_path: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(certificate.keyfile)
    assert "are refused (key values mismatch): give" in refused_start(tmp_path, **certificate.environ)


def test_a_locked_key_is_one_sentence_and_asks_no_terminal(certificate: Certificate, tmp_path: Path) -> None:
    certificate.lock("right")
    given = {**certificate.environ, "SERVER_SSL_KEYFILE_PASSWORD": CANARY}
    assert CANARY not in refused_start(tmp_path, **given)
    refused_start(tmp_path, **certificate.environ)


@pytest.mark.parametrize("name", ["certfile", "keyfile"])
def test_a_file_that_is_no_pem_is_one_sentence(certificate: Certificate, tmp_path: Path, name: str) -> None:
    getattr(certificate, name).write_text("nothing")
    assert "give the certificate with its chain" in refused_start(tmp_path, **certificate.environ)


def test_a_certificate_without_a_key_is_one_sentence(certificate: Certificate, tmp_path: Path) -> None:
    assert "is given alone" in refused_start(tmp_path, SERVER_SSL_CERTFILE=str(certificate.certfile))


def test_plain_uvicorn_is_told_of_the_certificate(certificate: Certificate, tmp_path: Path) -> None:
    port = free_port()
    with program(uvicorn(port), f"sqlite:///{tmp_path}/test.db", tmp_path, port, **certificate.environ) as one:
        one.ready()
        flags = f"--ssl-certfile {certificate.certfile} --ssl-keyfile {certificate.keyfile}\n"
        assert flags in "".join(f"{line}\n" for line in one.log.splitlines() if " WARNING " in line)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_t27_a_handshake_that_does_not_end_is_ended(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    assert tls.HANDSHAKE_S == 10
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.3)
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, **certificate.environ)
    with running(settings) as service, socket.create_connection(("127.0.0.1", service.port), 10) as silent:
        silent.sendall(sent)
        assert silent.recv(100) == b""


def test_the_health_check_of_the_image_knows_tls(
    certificate: Certificate, client: httpx.Client, tmp_path: Path
) -> None:
    with program(MAIN, f"sqlite:///{tmp_path}/test.db", tmp_path, 0, **certificate.environ) as one:
        ready(one, client)
        environ = {"SERVER_PORT": str(one.port), **certificate.environ}
        asked = subprocess.run([sys.executable, "-IS", "deploy/healthcheck.py"], cwd=ROOT, env=environ, check=False)
        assert asked.returncode == 0
