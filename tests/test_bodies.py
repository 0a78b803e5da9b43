import gzip
import json
import threading
import zlib
from collections.abc import Iterator

import pytest

from routers import protocol
from tests.intake import INTAKES, Wire, host_of, refused, stored, until, unwritten
from tests.service import SAMPLE, Service, report

MIB = 1 << 20
DEEP = 100_000
LIMITS = [(path, MIB) for path in INTAKES] + [("/api/resources/batch", 2 * MIB)]
ROUTES = [path for path, _ in LIMITS]


def padded(host: str, size: int) -> bytes:
    """A good report of so many bytes."""
    body = json.dumps(report(host)).encode()
    return body + b" " * (size - len(body))


def bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, mtime=0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RECEIVE_TIMEOUT_S", 0.3)


@pytest.mark.parametrize("path", INTAKES)
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "application/octet-stream", "nonsense", ""])
@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; Charset="UTF-8"'])
def test_json_or_no_or_any_other_type_is_taken(sqlite: Service, path: str, kind: str | None, charset: str) -> None:
    headers = {} if kind is None else {"Content-Type": f"{kind}{charset}"}
    stored(sqlite.client.post(path, content=json.dumps(SAMPLE), headers=headers))


FORMS = ["multipart/form-data; boundary=x", "Multipart/Mixed", "application/x-www-form-urlencoded", "MULTIPART/x"]
OTHERS = ["application/json; charset=utf-16", "text/plain; a=b; charset=latin-1", "application/json;charset=euc-kr"]


@pytest.mark.parametrize("path", ["/api/resources", "/api/resources/batch"])
@pytest.mark.parametrize("kind", [*FORMS, *OTHERS])
def test_t33_a_form_and_another_charset_are_refused(sqlite: Service, path: str, kind: str) -> None:
    with unwritten(sqlite):
        answer = sqlite.client.post(path, content=json.dumps(SAMPLE), headers={"Content-Type": kind})
        refused(answer, 415, "UNSUPPORTED")


@pytest.mark.parametrize("path", ["/api/resources", "/api/resources/batch"])
@pytest.mark.parametrize("kind", FORMS)
def test_t33_a_form_of_a_web_page_is_refused(sqlite: Service, path: str, kind: str) -> None:
    headers = {"Content-Type": kind, "Origin": "https://page.example"}
    with unwritten(sqlite):
        refused(sqlite.client.post(path, content=json.dumps(SAMPLE), headers=headers), 415, "UNSUPPORTED")


@pytest.mark.parametrize("kind", [*FORMS, *OTHERS])
def test_t33_the_legacy_intake_never_looks_at_the_type(sqlite: Service, kind: str) -> None:
    stored(sqlite.client.post("/monitor_info", content=json.dumps(SAMPLE), headers={"Content-Type": kind}))


def test_one_byte_order_mark_is_tolerated(sqlite: Service) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(report("mark")).encode()
    stored(sqlite.client.post("/api/resources", content=body))
    refused(sqlite.client.post("/api/resources", content=b"\xef\xbb\xbf" + body), 400, "BAD_JSON")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_other_unicode_encodings_are_refused(sqlite: Service, path: str, encoding: str) -> None:
    with unwritten(sqlite):
        answer = sqlite.client.post(path, content=json.dumps({"reports": [], **SAMPLE}).encode(encoding))
        refused(answer, 415, "UNSUPPORTED")


BROKEN = {
    "empty": b"",
    "no json": b"hello",
    "cut off": b'{"host": {"host_name": "a"',
    "trailing": b'{"host": {"host_name": "a"}} {}',
    "comma": b'{"host": {"host_name": "a"},}',
    "single quotes": b"{'host': {'host_name': 'a'}}",
    "raw control": b'{"host": {"host_name": "a\x01"}}',
    "latin-1": '{"host": {"host_name": "caf\u00e9"}}'.encode("latin-1"),
    "euc-kr": '{"host": {"host_name": "\uc11c\ubc84"}}'.encode("euc-kr"),
    "overlong": b'{"host": {"host_name": "a"}, "x": "\xc0\xaf"}',
    "cesu": b'{"host": {"host_name": "\xed\xa0\xbd\xed\xb8\x80"}}',
    "high surrogate": b'{"host": {"host_name": "a\\ud83d"}}',
    "low surrogate": b'{"host": {"host_name": "a\\ude00"}}',
    "surrogate in an unknown field": b'{"host": {"host_name": "a"}, "x": "\\ud800"}',
    "deep": b'{"host": {"host_name": "a"}, "x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"host":' * DEEP + b"1" + b"}" * DEEP,
    "never closed": b"[" * DEEP,
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_not_json_in_utf8_is_refused(sqlite: Service, path: str, body: bytes) -> None:
    with unwritten(sqlite):
        refused(sqlite.client.post(path, content=body), 400, "BAD_JSON")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", ["[]", "1", '"x"', "null", "true", "NaN", '{"host": []}', '{"reports": {}}'])
def test_json_of_another_shape_breaks_a_field_rule(sqlite: Service, path: str, body: str) -> None:
    with unwritten(sqlite):
        refused(sqlite.client.post(path, content=body), 422, "VALIDATION")


def test_gzip_is_inflated(sqlite: Service) -> None:
    for number, encoding in enumerate(("gzip", "GZIP", "Gzip")):
        body = gzip.compress(json.dumps(report(f"zipped-{number}")).encode())
        stored(sqlite.client.post("/api/resources", content=body, headers={"Content-Encoding": encoding}))
        assert host_of(sqlite, f"zipped-{number}")


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_identity_is_no_encoding(sqlite: Service, encoding: str) -> None:
    body = json.dumps(report("identity"))
    stored(sqlite.client.post("/api/resources", content=body, headers={"Content-Encoding": encoding}))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "encodings", [["deflate"], ["br"], ["zstd"], ["gzip, gzip"], ["gzip", "gzip"], ["gzip, identity"]]
)
def test_other_and_stacked_encodings_are_refused_and_gzip_is_named(
    sqlite: Service, path: str, encodings: list[str]
) -> None:
    headers = [("Content-Encoding", encoding) for encoding in encodings]
    with unwritten(sqlite):
        answer = sqlite.client.post(path, content=json.dumps(SAMPLE), headers=headers)
        refused(answer, 415, "UNSUPPORTED")
    assert answer.headers["accept-encoding"] == "gzip"


WHOLE = gzip.compress(json.dumps(report("zipped")).encode())
BROKEN_GZIP = {
    "garbage": b"not gzip at all",
    "empty": b"",
    "header alone": WHOLE[:10],
    "cut off": WHOLE[:-12],
    "no trailer": WHOLE[:-8],
    "wrong checksum": WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:],
    "wrong length": WHOLE[:-4] + b"\0\0\0\0",
    "trailing garbage": WHOLE + b"x",
    "second member": WHOLE + gzip.compress(b""),
    "zlib": zlib.compress(json.dumps(report("zipped")).encode()),
    "no json inside": gzip.compress(b"hello"),
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", BROKEN_GZIP.values(), ids=BROKEN_GZIP)
def test_broken_gzip_is_refused(sqlite: Service, path: str, body: bytes) -> None:
    with unwritten(sqlite):
        answer = sqlite.client.post(path, content=body, headers={"Content-Encoding": "gzip"})
        refused(answer, 400, "BAD_JSON")


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_a_gzip_bomb_is_refused_at_the_limit_of_its_route(sqlite: Service, path: str, limit: int) -> None:
    for size in (limit + 1, 100 * MIB):
        with unwritten(sqlite):
            answer = sqlite.client.post(path, content=bomb(size), headers={"Content-Encoding": "gzip"})
            refused(answer, 413, "TOO_LARGE")


def test_a_body_of_exactly_the_limit_is_taken_zipped_or_not(sqlite: Service) -> None:
    body = padded("full", MIB)
    stored(sqlite.client.post("/api/resources", content=body))
    stored(sqlite.client.post("/api/resources", content=gzip.compress(body), headers={"Content-Encoding": "gzip"}))


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_an_announced_flood_is_refused_before_it_is_sent(sqlite: Service, path: str, limit: int) -> None:
    for announced in (limit + 1, 10**18):
        with unwritten(sqlite), Wire(sqlite) as wire:
            wire.head(path, Content_Length=str(announced))
            answer = wire.answer()
            refused(answer, 413, "TOO_LARGE")
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_an_unannounced_flood_is_refused_at_the_limit(sqlite: Service, path: str, limit: int) -> None:
    with unwritten(sqlite), Wire(sqlite) as wire:
        wire.head(path, Transfer_Encoding="chunked")
        for _ in range(limit // 65536):
            wire.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        wire.send(b"1\r\n \r\n")
        answer = wire.answer()
        refused(answer, 413, "TOO_LARGE")
    assert answer.headers["connection"] == "close"


def test_a_client_that_sends_all_the_same_reads_why_it_was_refused(sqlite: Service) -> None:
    with unwritten(sqlite):
        refused(sqlite.client.post("/api/resources", content=padded("flood", 8 * MIB)), 413, "TOO_LARGE")


def test_a_chunked_report_is_taken(sqlite: Service) -> None:
    def chunks() -> Iterator[bytes]:
        for letter in json.dumps(report("chunked")):
            yield letter.encode()

    stored(sqlite.client.post("/api/resources", content=chunks()))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_does_not_come_in_time_is_refused_and_the_connection_closed(sqlite: Service, path: str) -> None:
    with unwritten(sqlite), Wire(sqlite) as wire:
        wire.head(path, Content_Length="100")
        wire.send(b'{"host": ')
        answer = wire.answer()
        refused(answer, 408, "TIMEOUT")
    assert answer.headers["connection"] == "close"


@pytest.mark.usefixtures("impatient")
def test_bytes_that_trickle_in_do_not_extend_the_time(sqlite: Service) -> None:
    done = threading.Event()
    with unwritten(sqlite), Wire(sqlite) as wire:
        wire.head(Content_Length="100000")

        def trickle() -> None:
            while not done.wait(0.05):
                try:
                    wire.send(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        answer = wire.answer()
        done.set()
        thread.join()
        refused(answer, 408, "TIMEOUT")


def test_a_client_that_hangs_up_is_no_bug_of_the_server(sqlite: Service) -> None:
    with unwritten(sqlite):
        with Wire(sqlite) as wire:
            wire.head(Content_Length="100", X_Request_ID="hung-up")
            wire.send(b'{"host": ')
        until(lambda: "request_id=hung-up" in sqlite.log)
    [line] = [line for line in sqlite.log.splitlines() if "request_id=hung-up" in line]
    assert "status=aborted" in line
