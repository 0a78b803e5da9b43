import json
import socket
import time

import psutil
import pytest

from routers import protocol
from tests.logs import Reader
from tests.raw import Answer, answers, connect, exchange, posted, received
from tests.service import Service, report

pytestmark = pytest.mark.slow

GET = b"GET /health/live HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /api/resources HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = b"Connection: close\r\n"

MALFORMED = {
    "length-and-chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked-and-length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two-lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "same-length-twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "list-of-lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "negative-length": POST + b"Content-Length: -1\r\n\r\n",
    "length-of-5000-digits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "bare-line-feeds": b"GET /health/live HTTP/1.1\nHost: h\n\n",
    "folded-header": GET + b"X-A: a\r\n b\r\n\r\n",
    "space-before-colon": GET + b"X-A : a\r\n\r\n",
    "header-without-colon": GET + b"X-A\r\n\r\n",
    "control-in-header": GET + b"X-A: a\x00b\r\n\r\n",
    "chunk-size-not-hex": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunk-size-negative": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk-size-beyond-64-bits": CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunk-longer-than-said": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "chunk-end-bare-line-feed": CHUNKED + b"2\n{}\n0\n\n",
    "unknown-transfer-encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked-is-not-last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked-in-http-1.0": b"POST /api/resources HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no-host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two-hosts": GET + b"Host: other\r\n\r\n",
    "unknown-method": b"BREW /health/live HTTP/1.1\r\nHost: h\r\n\r\n",
    "http-2-by-name": b"GET /health/live HTTP/2.0\r\nHost: h\r\n\r\n",
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no-version-at-all": b"GET /health/live\r\n\r\n",
    "unknown-version": b"GET /health/live HTTP/9.9\r\nHost: h\r\n\r\n",
    "tunnel": b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    "control-in-address": b"GET /hea\x01lth HTTP/1.1\r\nHost: h\r\n\r\n",
    "raw-bytes-in-address": b"GET /\xea\xb0\x80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "invalid-utf-8-in-address": b"GET /%ff HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n",
    "invalid-utf-8-in-query": b"GET /api/hosts?q=%ff HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n",
    "not-http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS\r\n\r\n",
    "garbage": bytes(range(256)) * 4,
}
FLOODS = {
    "101-headers": GET + b"".join(b"X-%d: a\r\n" % number for number in range(100)) + b"\r\n",
    "one-huge-header": GET + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n",
    "many-big-headers": GET + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(40)) + b"\r\n",
    "long-request-line": b"GET /" + b"a" * 8_200 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "long-query": b"GET /api/hosts?q=" + b"a" * 8_200 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "trailers": CHUNKED + b"0\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(101)) + b"\r\n",
    "chunk-extension": CHUNKED + b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
    "empty-lines": b"\r\n" * 30_000,
}


def one(found: list[Answer]) -> Answer:
    assert len(found) == 1, found
    return found[0]


def ask(target: str = "/health/live", *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: h", *headers, "", ""]).encode()


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_f32_t29_malformed_request_is_refused_in_the_envelope_and_disturbs_nobody(sqlite: Service, raw: bytes) -> None:
    with connect(sqlite) as other:
        other.sendall(GET)
        answer = one(exchange(sqlite, raw))
        assert (answer.status, answer.code, answer.headers["connection"]) == (400, "BAD_REQUEST", "close")
        assert "server" not in answer.headers
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        other.sendall(CLOSE + b"\r\n")
        assert one(answers(received(other))).status == 200


@pytest.mark.parametrize("raw", FLOODS.values(), ids=FLOODS)
def test_flood_of_headers_is_refused(sqlite: Service, raw: bytes) -> None:
    answer = one(exchange(sqlite, raw))
    assert (answer.status, answer.code, answer.headers["connection"]) == (431, "HEADERS_TOO_LARGE", "close")


def test_what_is_just_within_the_limits_is_served(sqlite: Service) -> None:
    filler = [f"X-{number}: a" for number in range(97)]
    big = "X-Big: " + "a" * (32_000 - sum(len(line) + 2 for line in filler))
    assert one(exchange(sqlite, ask("/health/live?" + "a" * 8_000, *filler, big, "Connection: close"))).status == 200


@pytest.mark.parametrize("start", [b"GET /", GET + b"X-A: ", GET + b"X-"], ids=["address", "value", "name"])
def test_head_without_end_is_refused_while_it_arrives(sqlite: Service, start: bytes) -> None:
    before = psutil.Process().memory_info().rss
    answer = one(exchange(sqlite, start, *[b"a" * 65_536] * 400))
    assert answer.code == "HEADERS_TOO_LARGE"
    assert psutil.Process().memory_info().rss - before < 8 << 20


def test_head_is_refused_though_its_sender_pauses_before_the_end(sqlite: Service) -> None:
    with connect(sqlite) as connection:
        connection.sendall(GET + b"X-A: " + b"a" * 100_000)
        assert one(answers(received(connection))).status == 431


def test_f32_good_requests_in_one_packet_are_answered_in_order(sqlite: Service) -> None:
    bodies = [json.dumps(report(f"pipelined-{number}", *["web"] * number)).encode() for number in range(4)]
    found = exchange(sqlite, b"".join(map(posted, bodies)) + ask("/health/live", "Connection: close"))
    assert [answer.status for answer in found] == [200] * 5
    counts = [json.loads(answer.body)["data"].get("containers_count") for answer in found]
    assert counts == [0, 1, 2, 3, None]


def test_thousands_of_requests_in_one_packet_are_answered(sqlite: Service) -> None:
    found = exchange(sqlite, ask() * 2_000 + ask("/health/live", "Connection: close"))
    assert [answer.status for answer in found] == [200] * 2_001


def test_f32_good_request_before_a_malformed_one_keeps_its_answer(sqlite: Service) -> None:
    body = json.dumps(report("before-garbage")).encode()
    found = exchange(sqlite, posted(body) + b"garbage\r\n\r\n")
    assert [(answer.status, answer.code) for answer in found] == [(200, "0"), (400, "BAD_REQUEST")]


def test_queued_request_with_a_broken_body_is_refused_in_its_turn(sqlite: Service) -> None:
    found = exchange(sqlite, posted(json.dumps(report("before-broken")).encode()) + CHUNKED + b"zz\r\n")
    assert [answer.code for answer in found] == ["0", "BAD_REQUEST"]


def test_body_that_breaks_later_is_refused_and_nothing_is_stored(sqlite: Service) -> None:
    with connect(sqlite) as connection:
        connection.sendall(CHUNKED + b"8\r\n" + b'{"host":' + b"\r\n")
        time.sleep(0.1)  # the handler has begun to wait for the rest
        connection.sendall(b"zz\r\n")
        assert one(answers(received(connection))).code == "BAD_REQUEST"


def test_f32_expect_100_continue_gets_it_and_then_the_answer(sqlite: Service) -> None:
    body = json.dumps(report("continued")).encode()
    with connect(sqlite) as connection:
        connection.sendall(posted(body, "Expect: 100-continue", "Connection: close").removesuffix(body))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert one(answers(received(connection))).code == "0"


def test_f32_expect_100_continue_is_refused_without_reading_when_too_large(sqlite: Service) -> None:
    head = POST + b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n"
    assert one(exchange(sqlite, head)).code == "TOO_LARGE"


def test_answer_to_a_too_large_body_can_be_read_after_sending_all_of_it(sqlite: Service) -> None:
    with connect(sqlite) as connection:
        connection.sendall(POST + b"Content-Length: 8388608\r\n\r\n")
        for _ in range(128):
            connection.sendall(b" " * 65_536)
        connection.shutdown(socket.SHUT_WR)
        assert one(answers(received(connection))).code == "TOO_LARGE"


def test_report_beside_an_offer_of_http_2_is_stored(sqlite: Service) -> None:
    body = json.dumps(report("java", "web")).encode()
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")
    found = exchange(
        sqlite, posted(body, *offer) + ask("/health/live", "Upgrade: websocket", "Connection: upgrade, close")
    )
    assert [(answer.status, answer.code) for answer in found] == [(200, "0"), (200, "0")]


def test_trailers_do_not_pass_for_headers(sqlite: Service) -> None:
    body = json.dumps(report("trailer")).encode()
    chunked = CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"%x\r\n%s\r\n" % (len(body), body)
    assert one(exchange(sqlite, chunked + b"0\r\nHost: second\r\nIdempotency-Key: k\r\n\r\n")).code == "0"
    assert sqlite.sql("SELECT report_key FROM reports JOIN hosts ON id = host_id WHERE host_name = 'trailer'") == [
        (None,)
    ]


@pytest.mark.parametrize("cut", [b"", GET, POST + b"Content-Length: 100\r\n\r\n{", CHUNKED + b"5\r\n{"])
def test_f32_client_that_leaves_early_is_no_bug(sqlite: Service, cut: bytes) -> None:
    log = Reader(sqlite)
    with connect(sqlite) as connection:
        connection.sendall(cut)
    assert [line for line in log.all() if " ERROR " in line or line.startswith("| ")] == []


def test_head_that_trickles_is_ended(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RECEIVE_TIMEOUT_S", 0.3)
    with connect(sqlite) as connection:
        connection.sendall(GET)
        assert one(answers(received(connection))).code == "TIMEOUT"
