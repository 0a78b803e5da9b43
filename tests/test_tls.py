import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from config.config import ConfigError, Settings
from database.dialect import Role, dialect_for
from database.faults import Fault, classify
from tests.intake import until
from tests.servers import MariaDb, MySql, Server, Tls, available
from tests.service import SAMPLE, running, settings_for

pytestmark = pytest.mark.slow
ENGINES = [engine for engine in (MariaDb, MySql) if available()[engine.name] is None]
WITHOUT_TLS = {"mariadb": "--skip-ssl", "mysql": "--tls-version="}
MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
IDS = [engine.name for engine in ENGINES]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificates(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The right authority's certificate, and one of another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    paths = {"right": folder / "right.pem", "wrong": folder / "wrong.pem"}
    authority.cert_pem.write_to_path(paths["right"])
    trustme.CA().cert_pem.write_to_path(paths["wrong"])
    return paths


@pytest.fixture(scope="module", params=ENGINES, ids=IDS)
def server(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Server]:
    """A server whose certificate names 127.0.0.1 and not localhost."""
    engine: type[Server] = request.param
    issued = authority.issue_cert("127.0.0.1")
    chain, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
    with engine(tls=Tls(authority.cert_pem.bytes(), chain, key)) as started:
        yield started


@pytest.fixture(scope="module", params=ENGINES, ids=IDS)
def plain(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server without TLS."""
    engine: type[Server] = request.param
    with engine(WITHOUT_TLS[engine.name]) as started:
        yield started


def settings(server: Server, folder: Path, mode: str, ca: Path | None = None, host: str = "127.0.0.1") -> Settings:
    url = server.url(server.create_database()).replace("127.0.0.1", host)
    given = {"MYSQL_SSL_CA": str(ca)} if ca else {}
    return settings_for(url, folder, MYSQL_SSL_MODE=mode, **given)


def cipher(settings: Settings) -> str:
    """What the connection is encrypted with, by the server's own word; nothing if it is not."""
    engine = dialect_for(settings).engine(Role("test"))
    try:
        with engine.connect() as connection:
            row: Any = connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()
            return str(row[1])
    finally:
        engine.dispose()


def refused(settings: Settings) -> bool:
    """Whether no connection comes about."""
    with pytest.raises(DBAPIError) as caught:
        cipher(settings)
    return classify(caught.value) in {Fault.REFUSED, Fault.NO_CONNECTION}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_but_disabled_encrypts(
    server: Server, tmp_path: Path, certificates: dict[str, Path], mode: str
) -> None:
    assert bool(cipher(settings(server, tmp_path, mode, certificates["right"]))) == (mode != "disabled")


@pytest.mark.parametrize("mode", ["verify_ca", "verify_identity"])
def test_a_certificate_of_another_authority_is_refused(
    server: Server, tmp_path: Path, certificates: dict[str, Path], mode: str
) -> None:
    assert refused(settings(server, tmp_path, mode, certificates["wrong"]))


@pytest.mark.parametrize("mode", ["verify_ca", "verify_identity"])
def test_without_ssl_ca_the_systems_authorities_decide(server: Server, tmp_path: Path, mode: str) -> None:
    assert refused(settings(server, tmp_path, mode))


def test_required_encrypts_whoever_signed(server: Server, tmp_path: Path, certificates: dict[str, Path]) -> None:
    assert cipher(settings(server, tmp_path, "required", certificates["wrong"]))


def test_another_host_name_is_refused_by_verify_identity(
    server: Server, tmp_path: Path, certificates: dict[str, Path]
) -> None:
    assert refused(settings(server, tmp_path, "verify_identity", certificates["right"], host="localhost"))


def test_another_host_name_is_accepted_by_verify_ca(
    server: Server, tmp_path: Path, certificates: dict[str, Path]
) -> None:
    assert cipher(settings(server, tmp_path, "verify_ca", certificates["right"], host="localhost"))


@pytest.mark.parametrize("mode", ["required", "verify_ca", "verify_identity"])
def test_a_server_without_tls_is_refused(
    plain: Server, tmp_path: Path, certificates: dict[str, Path], mode: str
) -> None:
    assert refused(settings(plain, tmp_path, mode, certificates["right"]))


@pytest.mark.parametrize("mode", ["disabled", "preferred"])
def test_a_server_without_tls_is_used_unencrypted(plain: Server, tmp_path: Path, mode: str) -> None:
    assert cipher(settings(plain, tmp_path, mode)) == ""


@pytest.mark.parametrize("mode", ["preferred", "required"])
def test_who_verifies_nobody_loads_no_authorities(
    server: Server, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the system's takes 25 ms of each connection."""
    given = settings(server, tmp_path, mode)
    monkeypatch.setattr(ssl, "create_default_context", None)
    assert cipher(given)


def test_mysqls_own_certificates_can_be_verified(tmp_path: Path, servers: Any) -> None:  # noqa: ANN401 - conftest's
    if "mysql" not in IDS:
        return
    server = servers("mysql")
    if server.controllable:
        assert cipher(settings(server, tmp_path, "verify_ca", server.data / "ca.pem"))


def test_strict_x509_rules_are_off_and_no_others(server: Server, tmp_path: Path, certificates: dict[str, Path]) -> None:
    arguments: Any = dialect_for(settings(server, tmp_path, "verify_ca", certificates["right"]))
    default = ssl.create_default_context().verify_flags
    assert arguments._tls()["ssl"].verify_flags == default & ~ssl.VERIFY_X509_STRICT


def test_a_service_whose_database_fails_verification_stays_up_and_says_so_once(
    server: Server, tmp_path: Path, certificates: dict[str, Path]
) -> None:
    with running(settings(server, tmp_path, "verify_ca", certificates["wrong"])) as service:
        assert service.client.get("/health/live").status_code == 200
        assert service.client.get("/health").status_code == 503
        assert service.post(SAMPLE).status_code == 503
        until(lambda: "database_down" in service.log)
        assert service.log.count("database_down") == 1


def test_reports_and_reads_travel_encrypted(server: Server, tmp_path: Path, certificates: dict[str, Path]) -> None:
    server.execute("ALTER USER 'app'@'%' REQUIRE SSL")
    try:
        with running(settings(server, tmp_path, "verify_identity", certificates["right"])) as service:
            assert service.post(SAMPLE).status_code == 200
            assert len(service.data("/api/containers")) == 2
    finally:
        server.execute("ALTER USER 'app'@'%' REQUIRE NONE")


def test_an_authority_file_that_holds_no_certificate_is_refused_in_one_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("no certificate")
    given = {"MYSQL_SSL_MODE": "verify_ca", "MYSQL_SSL_CA": str(empty)}
    with pytest.raises(ConfigError, match=r"^\[mysql\] ssl_ca = .* is refused: give .*\.$"):
        dialect_for(settings_for("mysql://app:pw@127.0.0.1/x", tmp_path, **given)).engine(Role("test"))
