import json
import re
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from main import create_app
from tests.service import SAMPLE, Service, running, settings_for

PAGES = ("/docs", "/redoc", "/")
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
)
BROWSER = {"Accept": "text/html"}
OPERATIONS = {
    "post_report": "POST /api/resources",
    "post_batch": "POST /api/resources/batch",
    "post_monitor_info": "POST /monitor_info",
    "list_hosts": "GET /api/hosts",
    "get_host": "GET /api/hosts/{host_id}",
    "delete_host": "DELETE /api/hosts/{host_id}",
    "put_host_tags": "PUT /api/hosts/{host_id}/tags",
    "list_host_containers": "GET /api/hosts/{host_id}/containers",
    "list_containers": "GET /api/containers",
    "get_fleet": "GET /api/fleet",
    "list_trends": "GET /api/trends",
    "get_history": "GET /api/history",
    "list_events": "GET /api/events",
    "get_diff": "GET /api/diff",
    "get_storage": "GET /api/storage",
    "list_agents": "GET /api/agents",
    "list_quarantine": "GET /api/agents/quarantine",
    "get_quarantined": "GET /api/agents/quarantine/{refused_id}",
    "replay_quarantined": "POST /api/agents/quarantine/{refused_id}/replay",
    "list_tokens": "GET /api/tokens",
    "create_token": "POST /api/tokens",
    "rotate_token": "POST /api/tokens/{token_id}/rotate",
    "revoke_token": "DELETE /api/tokens/{token_id}",
    "login": "POST /api/login",
    "refresh_login": "POST /api/login/refresh",
    "logout": "POST /api/login/logout",
    "health": "GET /health",
    "live": "GET /health/live",
    "config": "GET /config",
    "root": "GET /",
}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


class Addresses(HTMLParser):
    """What a page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "spec-url")]


@pytest.fixture(scope="module")
def document(sqlite: Service) -> dict[str, Any]:
    """What the running service says of itself."""
    made: dict[str, Any] = sqlite.client.get("/openapi.json").json()
    return made


def operation(document: dict[str, Any], name: str) -> dict[str, Any]:
    method, path = OPERATIONS[name].split()
    found: dict[str, Any] = document["paths"][path][method.lower()]
    return found


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].removeprefix("#/components/schemas/")]
    return schema


def body_of(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return resolved(document, answer["content"]["application/json"]["schema"])


def nodes(node: object) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def reached(document: dict[str, Any], node: object) -> Iterator[dict[str, Any]]:
    """Every object in a part of the document and in the schemas that it refers to."""
    for one in nodes(node):
        yield one
        if "$ref" in one:
            yield from reached(document, resolved(document, one))


@pytest.mark.parametrize("path", PAGES)
def test_page_names_nothing_but_this_server(sqlite: Service, path: str) -> None:
    answer = sqlite.client.get(path, headers=BROWSER)
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"(https?:)?//[a-z]", answer.text)
    addresses = Addresses(answer.text).found
    assert len(addresses) >= 3
    answers = {address: sqlite.client.get(urljoin(path, address)).status_code for address in addresses}
    assert set(answers.values()) == {200}, answers


@pytest.mark.parametrize("path", PAGES)
def test_t06_browser_is_told_to_load_nothing_from_elsewhere(sqlite: Service, path: str) -> None:
    policy = sqlite.client.get(path, headers=BROWSER).headers["content-security-policy"]
    assert policy == POLICY + ("; worker-src blob:" if path == "/redoc" else "")


@pytest.mark.parametrize("path", PAGES)
def test_t06_no_script_and_no_handler_stands_in_a_page(sqlite: Service, path: str) -> None:
    text = sqlite.client.get(path, headers=BROWSER).text
    assert not re.search(r"<script(?![^>]* src=)|<script[^>]*>[^<]| on\w+=|javascript:", text)


def test_scripts_and_styles_of_ours_name_no_other_server(sqlite: Service) -> None:
    for path in ("/static/docs.js", "/static/page.css"):
        assert "://" not in sqlite.client.get(path).text
    assert '"/openapi.json"' in sqlite.client.get("/static/docs.js").text


def test_browsers_find_an_icon(sqlite: Service) -> None:
    assert sqlite.client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "path", ["/static/none", "/static/%00", "/static/..%2f..%2fmain.py", "/docs-assets/" + "x" * 999]
)
def test_what_is_no_asset_is_an_envelope(sqlite: Service, path: str) -> None:
    answer = sqlite.client.get(path)
    assert (answer.status_code, answer.json()["resultCode"]) == (404, "NOT_FOUND")


def test_documentation_can_be_switched_off(tmp_path: Path) -> None:
    with running(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, APP_DOCS="false")) as service:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs-assets/swagger-ui.css"):
            assert service.client.get(path).json()["resultCode"] == "NOT_FOUND"
        assert not {"/docs", "/redoc", "/openapi.json"} & set(service.data("/")["links"].values())
        assert "/docs" not in service.client.get("/", headers=BROWSER).text


def test_document_is_made_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = create_app(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path)).openapi()
    assert json.loads(json.dumps(document)) == document


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    jsonschema_rs.validate(OPENAPI_31, document)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    named = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    assert named <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_title_description_and_version_are_settings(document: dict[str, Any], sqlite: Service) -> None:
    app = sqlite.settings.app
    assert document["info"] == {"title": app.title, "description": app.description, "version": app.version}


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    found = {
        f"{method.upper()} {path}": made["operationId"]
        for path, methods in document["paths"].items()
        for method, made in methods.items()
    }
    assert found == {route: name for name, route in OPERATIONS.items()}


@every_operation
def test_operation_has_words_and_one_described_tag(document: dict[str, Any], name: str) -> None:
    made = operation(document, name)
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert len(made["tags"]) == 1
    assert set(made["tags"]) <= described
    assert made["summary"]
    assert made["description"]


@every_operation
def test_success_is_an_envelope_with_concrete_data(document: dict[str, Any], name: str) -> None:
    answers = operation(document, name)["responses"]
    good = [answers[status] for status in ("200", "207") if status in answers]
    assert bool(good) is (name not in ("delete_host", "revoke_token"))
    for answer in good:
        envelope = body_of(document, answer)
        assert set(envelope["required"]) == {"success", "resultCode", "resultMessage", "data"}
        data = resolved(document, envelope["properties"]["data"])
        item = resolved(document, data.get("items") or data.get("additionalProperties") or data)
        assert item.get("properties") or item.get("additionalProperties"), data


@every_operation
def test_no_field_of_an_answer_is_ever_left_out(document: dict[str, Any], name: str) -> None:
    objects = [one for one in reached(document, operation(document, name)["responses"]) if "properties" in one]
    assert objects
    assert [one["title"] for one in objects if one["properties"].keys() != {*one.get("required", ())}] == []


def test_a_stored_report_has_a_host_and_perhaps_no_container(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/StoredOut", "components": document["components"]}
    least = {"host_id": 1, "containers_count": 0, "timestamp": "2025-01-23T03:02:50"}
    jsonschema_rs.validate(schema, least)
    for wrong in ({"host_id": 0}, {"containers_count": -1}):
        assert not jsonschema_rs.is_valid(schema, {**least, **wrong})


@every_operation
def test_every_refusal_is_the_error_envelope(document: dict[str, Any], name: str) -> None:
    answers = operation(document, name)["responses"]
    bad = {status for status in answers if status >= "400"}
    expected = {"Refused", "Envelope_HealthOut_"} if name == "health" else {"Refused"}
    assert {
        answers[status]["content"]["application/json"]["schema"]["$ref"].split("/")[-1] for status in bad
    } == expected
    assert {"400", "431", "500"} <= bad
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("list_hosts", {"200", "304", "422", "503"}),
        ("list_containers", {"200", "304", "422", "503"}),
        ("list_host_containers", {"200", "304", "404", "422", "503"}),
        ("get_host", {"200", "404", "422", "503"}),
        ("delete_host", {"204", "404", "422", "503"}),
        ("put_host_tags", {"200", "404", "408", "413", "415", "422", "503"}),
        ("post_report", {"200", "408", "413", "415", "422", "503"}),
        ("post_batch", {"200", "207", "408", "413", "415", "422", "503"}),
        ("health", {"200", "503"}),
    ],
)
def test_operation_names_its_statuses(document: dict[str, Any], name: str, statuses: set[str]) -> None:
    asked = set() if name == "health" else {"401", "403", "429"}
    assert set(operation(document, name)["responses"]) == statuses | asked | {"400", "431", "500"}


@pytest.mark.parametrize("name", ["list_hosts", "list_containers", "list_host_containers"])
def test_lists_describe_what_stands_in_their_headers(document: dict[str, Any], name: str) -> None:
    assert set(operation(document, name)["responses"]["200"]["headers"]) == {"X-Total-Count", "Link", "ETag"}


@pytest.mark.parametrize("name", ["post_report", "post_monitor_info", "post_batch"])
def test_sample_report_is_ready_to_send(document: dict[str, Any], sqlite: Service, name: str) -> None:
    content = operation(document, name)["requestBody"]["content"]["application/json"]
    example = content["example"]
    shown = example["reports"][0] if name == "post_batch" else example
    assert shown["host"] == SAMPLE["host"]
    assert [box["container_name"] for box in shown["containers"]] == ["tomcat3", "nginx"]
    jsonschema_rs.validate({**content["schema"], "components": document["components"]}, example)
    assert sqlite.post(example, OPERATIONS[name].split()[1]).json()["success"] is True


def test_every_example_is_one_that_its_schema_allows(document: dict[str, Any]) -> None:
    components = document["components"]
    shown = [schema for schema in nodes(components["schemas"]) if isinstance(schema.get("examples"), list)]
    assert {"Report", "BatchItem"} <= {schema.get("title") for schema in shown}
    for schema in shown:
        for example in schema["examples"]:
            jsonschema_rs.validate({**schema, "components": components}, example)
