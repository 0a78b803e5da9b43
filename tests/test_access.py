"""Who may report, read and change: the threats T1 to T3, T35 and T38 where tokens are asked for, and the way there."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from starlette.types import Message, Send

from services.access import INTAKE, SHELL, needed
from tests.console import manage
from tests.guarded import Guarded, bearer, guarding, id_of
from tests.intake import host_of, refused, stored, until, unwritten
from tests.service import Service, report, running, settings_for
from utils.token_text import mint

pytestmark = pytest.mark.security

READS = [
    "/",
    "/api/hosts",
    "/api/hosts/1",
    "/api/hosts/1/containers",
    "/api/containers",
    "/api/history?host_id=1",
    "/api/events",
    "/api/storage",
    "/api/diff?a=2026-01-01T00:00:00&b=2026-01-02T00:00:00",
    "/nothing",
]
ADMINS = ["/config", "/api/tokens"]
OPEN = ["/health", "/health/live", "/docs", "/redoc", "/openapi.json", "/favicon.ico", "/static/page.css"]


@pytest.fixture
def observing(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Guarded]:
    with guarding(settings_for(new_url(engine), tmp_path, SECURITY_MODE="observe")) as one:
        yield one


def test_t1_without_a_token_nothing_is_reported(guard: Guarded) -> None:
    for path in sorted(INTAKE):
        with unwritten(guard.service):
            answer = guard.service.post(report("t1"), path)
            refused(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_t1_it_is_refused_before_the_body_is_parsed_and_before_any_sql(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    """A body that is no JSON, a bomb and one over the limit are all 401, and the database hears of none."""
    with guarding(settings_for(new_url(engine), tmp_path, SECURITY_MODE="enforce")) as guard:
        assert [sql for sql in statements_of(guard) if "leases" not in sql] == []


def statements_of(guard: Guarded) -> list[str]:
    """What the database heard while all were refused."""
    statements: list[str] = []
    database = guard.service.state["database"]
    engines = (database.writer_engine, database._read_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    bodies = [b"{", b"\xff", b" " * (1 << 20) + b"{}", gzip.compress(b" " * (64 << 20))]
    for body in bodies:
        for token in (None, mint().text, "nonsense"):
            headers = {**(bearer(token) if token else {}), "Content-Encoding": "gzip"}
            refused(guard.service.client.post("/api/resources", content=body, headers=headers), 401, "UNAUTHORIZED")
    for path in (*READS, *ADMINS):
        assert guard.get(path).status_code == 401
    return statements


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Basic YTpi", "bearer x", "Bearer rms_", "Token {}", "{}", "Bearer {} {}", "Bearer, {}"],
)
def test_t1_what_shows_no_token_is_refused(guard: Guarded, header: str) -> None:
    given = header.replace("{}", guard.admin)
    refused(guard.service.client.get("/api/hosts", headers={"Authorization": given}), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("root", ["/x", "/x/", "/api", "/health", "/static", "/docs-assets", "/a/b", "/config"])
def test_t1_no_root_path_opens_what_is_closed(guard: Guarded, root: str) -> None:
    """As `uvicorn --root-path` puts it before the path, or a server that leaves it off."""
    reader = guard.token("--scope", "read")
    for path in ("/config", "/api/tokens", "/api/agents", "/api/hosts"):
        for shown in {root + path, path} - {root}:
            if SHELL.fullmatch(shown.removeprefix(root)):
                continue  # a shell, which has no data
            expected = (200, 403) if path != "/api/hosts" else (200, 200)
            statuses = tuple(_under(guard, root, shown, token) for token in (guard.admin, reader))
            assert statuses in (expected, (404, 404)), (root, shown)
            assert _under(guard, root, shown) == 401
    assert _under(guard, root, f"{root}/config", reader) == 403
    assert _under(guard, root, f"{root}/health") == 200
    assert _under(guard, root, f"{root}/api/tokens", reader, "DELETE") == 403


def _under(guard: Guarded, root: str, path: str, token: str = "", method: str = "GET") -> int:
    """The status of a request whose scope has a root path."""
    headers = [(b"host", b"h"), *([(b"authorization", f"Bearer {token}".encode())] if token else [])]
    scope = {"type": "http", "method": method, "path": path, "root_path": root, "query_string": b"", "headers": headers}
    scope |= {"http_version": "1.1", "client": ("192.0.2.1", 1), "scheme": "http", "server": ("h", 80)}
    sent: list[Any] = []

    async def ask() -> None:
        await guard.service.app({**scope, "state": dict(guard.service.state)}, _nothing, _into(sent))

    asyncio.run(ask())
    status: int = sent[0]["status"]
    return status


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _into(sent: list[Any]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send


def test_t1_two_tokens_at_once_are_none(guard: Guarded) -> None:
    """Which of two would count is a question that two programs answer in two ways."""
    headers = [("Authorization", f"Bearer {guard.admin}"), ("Authorization", f"Bearer {guard.admin}")]
    refused(guard.service.client.get("/api/hosts", headers=headers), 401, "UNAUTHORIZED")


def test_t1_health_and_pages_without_data_stay_open(guard: Guarded) -> None:
    assert [guard.get(path).status_code for path in OPEN] == [200] * len(OPEN)
    assert guard.service.client.get("/", headers={"Accept": "text/html"}).status_code == 200
    assert guard.get("/health").json()["data"]["security"] == "enforce"


def test_t1_a_start_that_is_open_to_others_warns(new_url: Callable[[str], str], tmp_path: Path) -> None:
    starts = [("::", "off", True), ("127.0.0.1", "off", False), ("::1", "off", False), ("::", "enforce", False)]
    for number, (host, mode, warns) in enumerate(starts):
        settings = settings_for(new_url("sqlite"), tmp_path / f"{number}", SERVER_HOST=host, SECURITY_MODE=mode)
        with running(settings) as service:
            until(lambda service=service: "started" in service.log)  # type: ignore[misc]
            assert service.data("/health")["security"] == mode if mode == "off" else True
        assert ("security_off" in service.log) is warns


def test_t1_a_token_is_never_made_over_the_network(guard: Guarded) -> None:
    before = guard.service.sql("SELECT COUNT(*) FROM tokens")
    guard.service.post(report("t1-auto"), **bearer(mint().text))
    assert guard.service.sql("SELECT COUNT(*) FROM tokens") == before


def test_t2_a_token_of_host_a_reports_for_no_other(guard: Guarded) -> None:
    a = guard.ingest("t2-a")
    stored(guard.service.post(report("t2-a", "web"), **a))
    for path in ("/api/resources", "/monitor_info"):
        with unwritten(guard.service):
            refused(guard.service.post(report("t2-b", "web"), path, **a), 403, "FORBIDDEN")
    line = f"host_spoof token={id_of(a['Authorization'])} host=t2-b peer=127.0.0.1"
    until(lambda: line in guard.service.log)


def test_t2_of_a_batch_the_other_hosts_are_refused(guard: Guarded) -> None:
    batch = {"reports": [report(name) for name in ("t2-mine", "t2-theirs", "t2-mine")]}
    answer = guard.service.post(batch, "/api/resources/batch", **guard.ingest("t2-mine"))
    assert answer.status_code == 207
    results = answer.json()["data"]["results"]
    assert [one["resultCode"] for one in results] == ["0", "FORBIDDEN", "0"]
    assert guard.get("/api/hosts?host_name=t2-theirs", guard.admin).json()["data"] == []


def test_t2_a_legacy_report_is_judged_by_the_name_that_counts(guard: Guarded) -> None:
    """`node_name` names the host only where `host_name` is missing."""
    both = {"host": {"host_name": "t2-other", "node_name": "t2-legacy"}}
    token = guard.ingest("t2-legacy")
    refused(guard.service.post(both, "/monitor_info", **token), 403, "FORBIDDEN")
    stored(guard.service.post({"node_name": "t2-legacy"}, "/monitor_info", **token))


def test_t2_a_token_for_a_pattern_is_good_for_its_hosts(guard: Guarded) -> None:
    token = bearer(guard.token("--scope", "ingest", "--hosts", "t2-web-*"))
    for name in ("t2-web-1", "t2-web-2"):
        stored(guard.service.post(report(name), **token))
    refused(guard.service.post(report("t2-db-1"), **token), 403, "FORBIDDEN")


def test_t2_a_token_is_bound_to_the_first_host_that_uses_it(guard: Guarded) -> None:
    text = guard.token("--scope", "ingest", "--first-host", "--name", "first")
    stored(guard.service.post(report("t2-first"), **bearer(text)))
    refused(guard.service.post(report("t2-second"), **bearer(text)), 403, "FORBIDDEN")
    bound = guard.service.sql("SELECT host_name FROM tokens WHERE id = :id", id=id_of(text))
    assert bound == [("t2-first",)]


def test_t2_of_a_batch_the_first_host_binds(guard: Guarded) -> None:
    token = bearer(guard.token("--scope", "ingest", "--first-host"))
    batch = {"reports": [report(name) for name in ("t2-one", "t2-two", "t2-one")]}
    results = guard.service.post(batch, "/api/resources/batch", **token).json()["data"]["results"]
    assert [one["resultCode"] for one in results] == ["0", "FORBIDDEN", "0"]


@pytest.mark.parametrize("binding", ["--host", "--first-host"])
def test_t2_an_unused_token_takes_no_host_of_another_token(guard: Guarded, binding: str) -> None:
    name = f"t2-owned{binding}"
    owner = bearer(guard.token("--scope", "ingest", binding, *([name] if binding == "--host" else [])))
    stored(guard.service.post(report(name), **owner))
    text = guard.token("--scope", "ingest", "--first-host")
    with unwritten(guard.service):
        refused(guard.service.post(report(name), **bearer(text)), 403, "FORBIDDEN")
    until(lambda: f"host_spoof token={id_of(text)} host={name}" in guard.service.log)
    stored(guard.service.post(report(f"{name}-not"), **bearer(text)))


@pytest.mark.parametrize("state", ["revoked_at", "expires_at"])
def test_t2_an_unused_token_takes_the_host_of_a_token_that_is_no_more(guard: Guarded, state: str) -> None:
    name = f"t2-{state}".replace("_", "-")
    stored(guard.service.post(report(name), **guard.ingest(name)))
    update = f"UPDATE tokens SET {state} = '2026-01-01 00:00:00' WHERE host_name = :name"
    guard.service.sql(update, name=name)
    stored(guard.service.post(report(name), **bearer(guard.token("--scope", "ingest", "--first-host"))))


def test_t2_an_unused_token_takes_a_host_that_only_a_pattern_names(guard: Guarded) -> None:
    guard.token("--scope", "ingest", "--hosts", "t2-old-*")
    stored(guard.service.post(report("t2-old-1"), **bearer(guard.token("--scope", "ingest", "--first-host"))))


def test_t2_the_database_knows_of_a_token_that_this_process_has_not_read_yet(
    guard: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.ingest("t2-unread")
    text = guard.token("--scope", "ingest", "--first-host")
    monkeypatch.setattr(guard.service.state["database"].credentials, "holder", lambda *_: None, raising=False)
    refused(guard.service.post(report("t2-unread"), **bearer(text)), 403, "FORBIDDEN")
    assert guard.service.sql("SELECT host_name FROM tokens WHERE id = :id", id=id_of(text)) == [(None,)]


def test_t2_of_two_instances_one_binds(guard: Guarded, tmp_path: Path) -> None:
    """Another instance has not read yet that the token is bound."""
    if guard.service.settings.sqlite_path:
        return  # one process a file: there is no other instance
    token = bearer(guard.token("--scope", "ingest", "--first-host"))
    with guarding(settings_for(guard.url, tmp_path, SECURITY_MODE="enforce")) as other:
        other.service.state["database"].credentials.refresh = lambda *_: None
        stored(guard.service.post(report("t2-early"), **token))
        refused(other.service.post(report("t2-late"), **token), 403, "FORBIDDEN")


@pytest.mark.parametrize("path", [*READS, *ADMINS])
def test_t3_a_token_for_reports_reads_nothing(guard: Guarded, path: str) -> None:
    if not hasattr(guard, "reporter"):
        guard.reporter = guard.token("--scope", "ingest", "--host", "t3")  # type: ignore[attr-defined]
    refused(guard.get(path, guard.reporter), 403, "FORBIDDEN")  # type: ignore[attr-defined]


def test_t3_a_reader_reads_and_does_nothing_else(guard: Guarded) -> None:
    stored(guard.service.post(report("t3-host"), **guard.ingest("t3-host")))
    reader = guard.token("--scope", "read")
    [host] = guard.get("/api/hosts?host_name=t3-host", reader).json()["data"]
    path = f"/api/hosts/{host['id']}"
    for read in (path, "/api/containers", "/api/events", "/"):
        assert guard.get(read, reader).status_code == 200
    for admin in ADMINS:
        refused(guard.get(admin, reader), 403, "FORBIDDEN")
    with unwritten(guard.service):
        client, headers = guard.service.client, bearer(reader)
        refused(client.delete(path, headers=headers), 403, "FORBIDDEN")
        refused(client.put(f"{path}/tags", json={"tags": ["x"]}, headers=headers), 403, "FORBIDDEN")
        refused(guard.service.post({"name": "x", "scope": "admin"}, "/api/tokens", **headers), 403, "FORBIDDEN")
        refused(guard.service.post(report("t3-host"), **headers), 403, "FORBIDDEN")


def test_t3_an_admin_reads_and_changes_but_reports_for_no_host(guard: Guarded) -> None:
    stored(guard.service.post(report("t3-mine"), **guard.ingest("t3-mine")))
    [host] = guard.get("/api/hosts?host_name=t3-mine", guard.admin).json()["data"]
    path, headers = f"/api/hosts/{host['id']}", bearer(guard.admin)
    assert guard.service.client.put(f"{path}/tags", json={"tags": ["x"]}, headers=headers).status_code == 200
    assert [guard.get(one, guard.admin).status_code for one in ADMINS] == [200, 200]
    refused(guard.service.post(report("t3-mine"), **headers), 403, "FORBIDDEN")
    assert guard.service.client.delete(path, headers=headers).status_code == 204
    until(lambda: not guard.service.sql("SELECT 1 FROM reports WHERE host_id = :id", id=host["id"]))


def test_t3_an_admin_may_use_a_web_page(guard: Guarded) -> None:
    """What a browser cannot do by itself is to send this header: no page of another origin has the token."""
    stored(guard.service.post(report("t3-page"), **guard.ingest("t3-page")))
    [host] = guard.get("/api/hosts?host_name=t3-page", guard.admin).json()["data"]
    path = f"/api/hosts/{host['id']}/tags"
    headers = {**bearer(guard.admin), "Origin": "http://dashboard.example"}
    assert guard.service.client.put(path, json={"tags": []}, headers=headers).status_code == 200
    refused(
        guard.service.client.put(path, json={"tags": []}, headers={"Origin": guard.service.url}), 401, "UNAUTHORIZED"
    )


@pytest.mark.parametrize("path", ["/api/hosts", "/api/resources", "/health", "/nothing"])
@pytest.mark.parametrize("form", ["token={}", "a=1&access_token={}", "x=%72ms_{tail}", "{}"])
def test_t38_a_token_in_an_address_is_refused_and_not_logged(guard: Guarded, path: str, form: str) -> None:
    query = form.replace("{tail}", guard.admin.removeprefix("rms_")).replace("{}", guard.admin)
    refused(guard.get(f"{path}?{query}", guard.admin), 401, "UNAUTHORIZED")
    guard.get(f"/api/hosts/{guard.admin}", guard.admin)
    marker = guard.get("/health/live").headers["x-request-id"]
    until(lambda: marker in guard.service.log)
    assert guard.admin.split("_")[2] not in guard.service.log


@pytest.mark.parametrize("word", ["alarms_1", "forms_api", "rms_", "rms_0123456789ab", "eyJ"])
def test_t38_a_name_that_is_no_token_may_be_searched_for(guard: Guarded, word: str) -> None:
    assert guard.get(f"/api/hosts?q={word}", guard.admin).status_code == 200


def test_t38_a_sign_in_in_an_address_is_refused_as_well(guard: Guarded) -> None:
    refused(guard.get("/api/hosts?q=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", guard.admin), 401, "UNAUTHORIZED")


def test_t2_an_unbound_token_is_bound_by_one_statement_of_a_batch(guard: Guarded) -> None:
    token = bearer(guard.token("--scope", "ingest", "--first-host"))
    before = guard.service.sql("SELECT number FROM access_revision")[0][0]
    batch = {"reports": [report("t2-many") for _ in range(30)]}
    assert guard.service.post(batch, "/api/resources/batch", **token).status_code == 200
    assert guard.service.sql("SELECT number FROM access_revision") == [(before + 1,)]


def test_a_preflight_needs_no_token(guard: Guarded) -> None:
    headers = {"Origin": "http://dashboard.example", "Access-Control-Request-Method": "GET"}
    headers["Access-Control-Request-Headers"] = "authorization"
    assert guard.service.client.options("/api/hosts", headers=headers).status_code == 204


def test_a_page_of_another_origin_may_read_a_refusal(guard: Guarded) -> None:
    answer = guard.service.client.get("/api/hosts", headers={"Origin": "http://dashboard.example"})
    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_refusals_are_security_events_with_the_id_alone(guard: Guarded) -> None:
    reader = guard.token("--scope", "read")
    guard.service.state["refusals"]._lines.clear()
    guard.get("/config", reader)
    line = f"security - WARNING - forbidden peer=127.0.0.1 method=GET path=/config token={id_of(reader)}"
    until(lambda: line in guard.service.log)


def test_before_the_tokens_are_read_it_is_tried_again_later(tmp_path: Path, new_url: Callable[[str], str]) -> None:
    """An agent keeps its report at 503; whoever shows nothing is refused all the same."""
    with guarding(settings_for(new_url("sqlite"), tmp_path, SECURITY_MODE="enforce")) as guard:
        credentials = guard.service.state["database"].credentials
        credentials.refresh = lambda *_: None
        credentials._revision, credentials._known = -1, {}
        answer = guard.service.post(report("early"), **bearer(guard.admin))
        refused(answer, 503, "DB_UNAVAILABLE")
        assert answer.headers["retry-after"]
        refused(guard.service.post(report("early")), 401, "UNAUTHORIZED")


def test_observe_takes_everything_as_before(observing: Guarded) -> None:
    service = observing.service
    stored(service.post(report("old")))
    stored(service.post(report("wrong"), **bearer(mint().text)))
    stored(service.post(report("other"), **observing.ingest("mine")))
    assert len(service.data("/api/hosts")) == 3
    assert service.data("/health")["security"] == "observe"
    until(lambda: "host_spoof" in service.log)


def test_observe_binds_a_token_to_its_first_host(observing: Guarded) -> None:
    text = observing.token("--scope", "ingest", "--first-host")
    stored(observing.service.post(report("moved"), **bearer(text)))
    assert observing.service.sql("SELECT host_name FROM tokens WHERE id = :id", id=id_of(text)) == [("moved",)]


def test_observe_lets_an_admin_change_things_from_anywhere_else(observing: Guarded) -> None:
    stored(observing.service.post(report("tagged")))
    path = f"/api/hosts/{host_of(observing.service, 'tagged')['id']}/tags"
    elsewhere = {"Origin": "http://dashboard.example"}
    refused(observing.service.client.put(path, json={"tags": []}, headers=elsewhere), 403, "FORBIDDEN")
    admin = {**elsewhere, **bearer(observing.admin)}
    assert observing.service.client.put(path, json={"tags": []}, headers=admin).status_code == 200


def test_off_looks_at_no_token(service: Service) -> None:
    stored(service.post(report("off"), **bearer("nonsense")))
    assert service.client.get("/api/hosts", headers=bearer(mint().text)).status_code == 200


def test_a_fleet_moves_from_off_over_observe_to_enforce(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(engine)
    token = {}
    for mode in ("off", "observe", "enforce"):
        with running(settings_for(url, tmp_path, SECURITY_MODE=mode)) as service:
            if mode == "observe":
                token = bearer(manage(url, "token", "create", "--scope", "ingest", "--host", "moving").lines[0])
            if mode == "enforce":
                known = service.state["database"].credentials
                until(lambda known=known: known.loaded)  # type: ignore[misc]
            stored(service.post(report("moving"), **token))
    with running(settings_for(url, tmp_path)) as service:
        assert service.sql("SELECT COUNT(*) FROM reports") == [(3,)]


def test_a_route_that_nobody_thought_of_takes_an_admin() -> None:
    assert needed("POST", "/api/anything", page=False) == "admin"
    assert needed("GET", "/api/anything", page=False) == "read"
    assert needed("GET", "/docs/", page=False) == "read"
    assert needed("PATCH", "/health", page=False) == "admin"
    assert needed("GET", "/api/tokens/1", page=True) == "admin"


def test_json_of_a_refusal_is_the_envelope(guard: Guarded) -> None:
    body = json.loads(guard.get("/api/hosts").content)
    assert body["resultMessage"] == "show a token: Authorization: Bearer rms_..."
    assert body["data"] is None
