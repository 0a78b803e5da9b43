from typing import Any

import pytest

from tests.intake import containers_of, host_of, refused, stored, unwritten
from tests.service import Service, report

# Each of these is a name of its own on every engine, returned to the byte.
NAMES = [
    "web",
    "Web",
    "WEB",
    "cafe",
    "café",
    "cafe\u0301",
    "😀",
    "😁",
    "👩\u200d👩\u200d👧",
    "서버-1",
    "서버-\uff12",
    "straße",
    "strasse",
    "\uff57eb",
    "a b",
    "a  b",
    "a\u00a0b",
    "it's",
    'say "hi"',
    "`back`",
    "back\\slash",
    "end\\",
    "\\'",
    "'; DROP TABLE hosts; --",
    "\\u005c'",
    "\u5c27",
    "%s",
    "%(x)s",
    "%",
    "_",
    "100%",
    ":name",
    "?",
    "{0}",
    "$1",
    "<script>alert(1)</script>",
    "=1+1",
    "null",
    "0",
    "\u200bzero-width",
    "zero-width",
    "\u200emark",
    "\U0010ffff",
    "é" * 255,
    "😀" * 255,
    "'" * 255,
    "\\" * 255,
]
TEXTS = ("host_name", "container_name", "cluster_name", "node_name", "engine_type", "status")
CONTROLS = ["\0", "\x01", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f"]
OVERRIDES = ["\u2028", "\u2029", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]


def body(name: str, text: str) -> dict[str, Any]:
    """A report with a text in one of its fields."""
    if name == "host_name":
        return report(text)
    return report("texts", {"container_name": "c", name: text})


def test_host_names_survive_exactly_and_stay_apart(service: Service) -> None:
    ids = {name: stored(service.post(report(name, "c")))["host_id"] for name in NAMES}
    assert len(set(ids.values())) == len(NAMES)
    shown = {host["host_name"]: host["id"] for host in service.data("/api/hosts")}
    assert {name: shown.get(name) for name in NAMES} == ids
    again = {name: stored(service.post(report(name, "c")))["host_id"] for name in NAMES}
    assert again == ids


def test_container_texts_survive_exactly(service: Service) -> None:
    containers = [dict.fromkeys(TEXTS[1:], name) for name in NAMES]
    stored(service.post(report("container texts", *containers)))
    shown = containers_of(service, "container texts")
    assert [{field: one[field] for field in TEXTS[1:]} for one in shown] == sorted(
        containers, key=lambda one: one["container_name"].encode()
    )


def test_the_database_holds_the_names_themselves(service: Service) -> None:
    for name in NAMES:
        stored(service.post(report(name)))
        assert service.sql("SELECT host_name FROM hosts WHERE host_name = :name", name=name) == [(name,)]


@pytest.mark.parametrize("letter", [*CONTROLS, *OVERRIDES], ids=ascii)
def test_control_and_override_characters_are_refused(sqlite: Service, letter: str) -> None:
    for name in TEXTS:
        with unwritten(sqlite):
            [error] = refused(sqlite.post(body(name, f"a{letter}b")), 422, "VALIDATION")["errors"]
        assert error["loc"][-1] == name


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_256_characters_is_refused_not_cut(sqlite: Service, name: str) -> None:
    for text in ("x" * 256, "😀" * 256):
        with unwritten(sqlite):
            refused(sqlite.post(body(name, text)), 422, "VALIDATION")


@pytest.mark.parametrize("name", TEXTS[:4])
@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u3000", "\u2028"])
def test_a_name_of_white_space_alone_is_refused(sqlite: Service, name: str, text: str) -> None:
    with unwritten(sqlite):
        refused(sqlite.post(body(name, text)), 422, "VALIDATION")


def test_names_are_trimmed_before_they_are_checked(service: Service) -> None:
    spaced = {name: f" \t{name}\r\n\u3000" for name in TEXTS}
    host = spaced.pop("host_name")
    ids = {stored(service.post(report(name, spaced)))["host_id"] for name in (host, "host_name", "host_name ")}
    assert len(ids) == 1
    [container] = containers_of(service, "host_name")
    assert [container[name] for name in TEXTS] == list(TEXTS)
    assert stored(service.post(report(f" {'x' * 255} ")))["host_id"] == host_of(service, "x" * 255)["id"]


def test_an_empty_engine_or_status_has_its_default(sqlite: Service) -> None:
    stored(sqlite.post(report("empty words", {"container_name": "c", "engine_type": "", "status": " "})))
    [container] = containers_of(sqlite, "empty words")
    assert (container["engine_type"], container["status"]) == ("docker", "unknown")
