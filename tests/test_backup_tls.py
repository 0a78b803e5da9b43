import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import trustme

from database.backup_client import Address, dump
from database.backup_file import BackupRefused
from tests.conftest import SERVER_CLASSES
from tests.console import manage
from tests.fuzzing import HOSTILE
from tests.servers import CANARY, MySql, Server, Tls, available
from tests.service import running, settings_for
from tests.test_backup import hostile, refused, rows

pytestmark = pytest.mark.slow
WITHOUT_TLS = {"mariadb": "--skip-ssl", "mysql": "--tls-version="}
TREE = MySql.root()
# MySQL's own program runs with the libraries of the tree that it lies in.
OWN = '#!/bin/sh\nexec "{loader}" --library-path "{libraries}" "{tree}/usr/bin/mysqldump" "$@"\n'
KINDS = [name for name in SERVER_CLASSES if available()[name] is None]
has_own = pytest.mark.skipif(not (TREE / "usr/bin/mysqldump").exists(), reason="MySQL's tree is without mysqldump")
CLIENTS = [*((kind, "installed") for kind in KINDS), pytest.param("mysql", "its own", marks=has_own)]
every_client = pytest.mark.parametrize(("server", "client"), CLIENTS, indirect=True)
VERIFYING = pytest.mark.parametrize("mode", ["verify_ca", "verify_identity"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def right(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's certificate, in a folder that an option file has to quote."""
    path = tmp_path_factory.mktemp("authorities # 1") / "right.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def started(authority: trustme.CA) -> Iterator[Callable[[str], Server]]:
    """Servers whose certificate names 127.0.0.1 and not localhost, and whose user must encrypt; each started once."""
    issued = authority.issue_cert("127.0.0.1")
    tls = Tls(authority.cert_pem.bytes(), issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
    with ExitStack() as stack:

        @cache
        def start(kind: str) -> Server:
            one = stack.enter_context(SERVER_CLASSES[kind](tls=tls))
            one.execute("ALTER USER 'app'@'%' REQUIRE SSL")
            return one

        yield start


@pytest.fixture
def server(request: pytest.FixtureRequest, started: Callable[[str], Server]) -> Server:
    return started(request.param)


@pytest.fixture(scope="module", params=KINDS)
def plain(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server without TLS."""
    with SERVER_CLASSES[request.param](WITHOUT_TLS[request.param]) as one:
        yield one


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which client program is found first."""
    name: str = request.param
    if name == "its own":
        program = tmp_path / "mysqldump"
        loader, library = next(TREE.glob("usr/lib*/ld-linux*")), next(TREE.glob("usr/lib/*/libc.so.6"))
        program.write_text(OWN.format(loader=loader, libraries=library.parent, tree=TREE))
        program.chmod(0o700)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return name


def address(server: Server, mode: str, ca: Path | None) -> Address:
    database = server.create_database()
    return Address(server.host, server.port, "app", CANARY, database, mode, ca, encrypted=True)


def dumped(server: Server, where: Address) -> bytes:
    file = io.BytesIO()
    dump(server.title, where, [], file)
    return file.getvalue()


@every_client
def test_every_client_program_makes_a_backup_that_restores_equal(server: Server, client: str, tmp_path: Path) -> None:
    first, second = (server.url(server.create_database()) for _ in range(2))
    with running(settings_for(first, tmp_path)) as service:
        for number in range(len(HOSTILE)):
            assert service.post(hostile(number), idempotency_key=f"key-{number}").status_code == 200
    assert manage(first, "backup", str(tmp_path / "b.sql")).status == 0
    made_by = (tmp_path / "b.sql").read_text(encoding="utf-8")[:200]
    assert ("MySQL dump" in made_by) >= (client == "its own")
    assert manage(second, "restore", str(tmp_path / "b.sql")).status == 0
    assert rows(second) == rows(first)


@pytest.fixture(params=["preferred", "required", "verify_ca", "verify_identity"])
def encrypting(request: pytest.FixtureRequest, right: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings of a mode, with the right authority."""
    mode: str = request.param
    monkeypatch.setenv("MYSQL_SSL_MODE", mode)
    monkeypatch.setenv("MYSQL_SSL_CA", str(right))
    return mode


@every_client
def test_a_backup_travels_encrypted(server: Server, client: str, encrypting: str, tmp_path: Path) -> None:
    url = server.url(server.create_database())
    assert manage(url, "db", "upgrade").status == 0
    assert manage(url, "backup", str(tmp_path / "b.sql")).status == 0, (client, encrypting)


@every_client
@VERIFYING
@pytest.mark.parametrize("given", [True, False])
def test_a_client_program_refuses_a_certificate_of_another_authority(
    server: Server, client: str, mode: str, tmp_path: Path, *, given: bool
) -> None:
    assert client
    wrong = tmp_path / "wrong.pem"
    trustme.CA().cert_pem.write_to_path(wrong)
    with pytest.raises(BackupRefused, match=r"^\S+dump failed: .*(certificate|NOT trusted)"):
        dumped(server, address(server, mode, wrong if given else None))


@every_client
def test_a_client_program_refuses_another_host_name(server: Server, client: str, right: Path) -> None:
    assert client
    where = address(server, "verify_identity", right)
    assert b"Dump completed" in dumped(server, where)
    with pytest.raises(BackupRefused, match=r"^\S+dump failed: .*(certificate|[Hh]ostname)"):
        dumped(server, replace(where, host="localhost"))


@VERIFYING
def test_a_client_program_that_verifies_refuses_plain_text(plain: Server, mode: str, right: Path) -> None:
    with pytest.raises(BackupRefused, match="SSL is required"):
        dumped(plain, address(plain, mode, right))


@pytest.mark.parametrize("mode", ["disabled", "preferred", "required"])
def test_a_server_without_tls_is_backed_up_unless_tls_is_required(
    plain: Server, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = plain.url(plain.create_database())
    assert manage(url, "db", "upgrade").status == 0
    monkeypatch.setenv("MYSQL_SSL_MODE", mode)
    done = manage(url, "backup", str(tmp_path / "b.sql"))
    assert done.status == 0 if mode != "required" else refused(done, "the database cannot be used: ")
    assert (tmp_path / "b.sql").exists() == (mode != "required")


@pytest.mark.parametrize("password", ["'\"", "\\n\\", " # ; = ", '"q"', '\\"', "-비밀😀", "$HOME`%s"])
def test_any_password_reaches_the_server(plain: Server, password: str) -> None:
    plain.execute(f"CREATE USER 'odd'@'%%' {plain.identified} %s", password)
    where = replace(address(plain, "preferred", None), user="odd", password=password, encrypted=False)
    plain.execute(f"GRANT SELECT ON {where.database}.* TO 'odd'@'%'")
    try:
        assert b"Dump completed" in dumped(plain, where)
    finally:
        plain.execute("DROP USER 'odd'@'%'")
