import logging
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from database import dialect_mysql_text as text
from database.dialect import MOVE, Held
from database.rows import Prepared, Row, byte_count
from utils.utils import SECOND

T0 = 1_750_000_000 * SECOND
AT = "2025-06-15 15:06:40"
PLAIN: Row = ("docker", "c", "n", "web", "running", 1.5, None, -2.0, AT)
QUOTED: Row = ("docker", "c", "n", "it's", "running", 0.1, 2.0, 3.0, AT)
FAR: Row = ("도커", "c", "n", "웹", "running", 1e-7, 123456789.25, 0.0, AT)
TAIL = ",7,'2025-06-15 15:06:40.000000')"
PLAIN_TEXT = f"'docker','c','n','web','running',1.5,null,-2.0,'{AT}'"
ROOMY = 1 << 20


class Line:
    """A connection that notes what is sent, and gives one value back."""

    def __init__(self, answer: str | None = None) -> None:
        self.sent: list[str] = []
        self._answer = answer

    def exec_driver_sql(self, statement: str, *, execution_options: dict[str, bool]) -> "Line":
        assert execution_options == {"no_parameters": True}
        self.sent.append(statement)
        return self

    def scalar_one(self) -> str | None:
        return self._answer


def connection(line: Line) -> Connection:
    return cast("Connection", line)


def prepared(*rows: Row, host_id: int = 7) -> Prepared:
    """A report of these rows, as the intake hands it on."""
    made = text.Statements()
    finished = made.finish(list(rows))
    return Prepared(
        host_name="h",
        host=(1.5, 2, None, 18.1, 57.9, AT),
        containers=finished,
        containers_count=len(rows),
        size=byte_count(finished) + len(rows) * 60,
        running=0,
        received_at=T0 + 1,
        sampled_at=T0,
        content_hash=b"\x01\xff",
        report_key=None,
        host_id=host_id,
    )


def values(*reports: Prepared, packet: int = ROOMY) -> list[str]:
    """The VALUES lists of the reports' containers."""
    line = Line()
    text.Statements().insert_containers(connection(line), reports, packet)
    assert all(one.startswith(text.CONTAINERS) for one in line.sent)
    return [one.removeprefix(text.CONTAINERS) for one in line.sent]


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        (None, "NULL"),
        (0, "0"),
        (2**31 - 1, "2147483647"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        ("", "''"),
        ("web", "'web'"),
        ("서버 %s", "'서버 %s'"),
        ("it's", "_utf8mb4 X'69742773'"),
        ("a\\b", "_utf8mb4 X'615c62'"),
        (b"\x00'\xff", "X'0027ff'"),
    ],
)
def test_a_value_as_sql(value: str | float | bytes | None, sql: str) -> None:
    assert text.literal(value) == sql


def test_a_container_is_its_values_its_host_and_its_moment() -> None:
    assert values(prepared(PLAIN)) == [f"({PLAIN_TEXT}{TAIL}"]


@pytest.mark.parametrize("care", ["it's", "a\\b", "','", "\\"])
def test_one_name_that_needs_care_spoils_no_other_row(care: str) -> None:
    row: Row = (*PLAIN[:3], care, *PLAIN[4:])
    [sent] = values(prepared(PLAIN, row, PLAIN))
    careful = PLAIN_TEXT.replace("'web'", f"_utf8mb4 X'{care.encode().hex()}'")
    careful = careful.replace("'docker'", text.literal("docker"))
    assert sent == f"({PLAIN_TEXT}{TAIL},({careful}{TAIL},({PLAIN_TEXT}{TAIL}"


def test_where_no_name_needs_care_none_is_looked_at_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "literal", None)
    assert text.Statements().finish([PLAIN, PLAIN]) == f"{PLAIN_TEXT}\0{PLAIN_TEXT}"


def test_every_name_of_a_container_is_taken_care_of() -> None:
    names = ("a'", "b'", "c'", "d'", "e'")
    [sent] = values(prepared((*names, *PLAIN[5:])))
    assert sent == f"({','.join(map(text.literal, names))},1.5,null,-2.0,'{AT}'{TAIL}"


def test_reports_share_a_packet_while_they_fit() -> None:
    one, other = prepared(PLAIN), prepared(FAR, host_id=8)
    assert len(values(one, other, packet=one.size + other.size)) == 1
    assert len(values(one, other, packet=one.size + other.size - 1)) == 2
    assert ",".join(values(one, other, packet=one.size)) == values(one, other)[0]


def test_a_packet_is_filled_again_after_a_full_one() -> None:
    reports = [prepared(PLAIN, host_id=host_id) for host_id in range(1, 7)]
    packets = values(*reports, packet=2 * reports[0].size)
    assert [packet.count("('docker'") for packet in packets] == [2, 2, 2]
    assert ",".join(packets) == values(*reports)[0]


def test_a_report_larger_than_a_packet_goes_row_by_row() -> None:
    large = prepared(PLAIN, QUOTED, FAR, PLAIN)
    limit = max(len(values(prepared(row))[0].encode()) for row in (PLAIN, QUOTED, FAR)) + 1
    packets = values(large, packet=limit)
    assert ",".join(packets) == values(large)[0]
    assert len(packets) == 4
    assert all(len(packet.encode()) <= limit for packet in packets)
    assert len(values(large, packet=2 * limit)) == 2


def test_the_rows_of_a_large_report_fill_a_packet_to_its_last_byte() -> None:
    large = prepared(*[PLAIN] * 100)
    limit = 50 * len(f"({PLAIN_TEXT}{TAIL},")
    assert large.size > limit
    assert [packet.count("('docker'") for packet in values(large, packet=limit)] == [50, 50]


def test_a_report_without_containers_sends_none() -> None:
    assert values(prepared()) == []
    assert values(prepared(), prepared(PLAIN)) == values(prepared(PLAIN))


def test_reports_are_one_statement() -> None:
    line, keyed = Line(), prepared(PLAIN, host_id=8)
    keyed.report_key = b"\x02"
    text.Statements().insert_reports(connection(line), [prepared(), keyed])
    host, at = f"1.5,2,NULL,18.1,57.9,'{AT}'", "'2025-06-15 15:06:40.000000'"
    received = "'2025-06-15 15:06:40.000001'"
    rows = f"(7,{at},NULL,X'01ff',{received},{host},0),(8,{at},X'02',X'01ff',{received},{host},1)"
    assert line.sent == [text.REPORTS + rows]


def test_minutes_are_one_statement() -> None:
    line = Line()
    text.Statements().insert_pending(connection(line), [(7, "2025-06-15 15:06:00"), (8, "2025-06-15 15:07:00")])
    assert line.sent == [text.PENDING + "(7,'2025-06-15 15:06:00'),(8,'2025-06-15 15:07:00')"]


def test_hosts_are_moved_in_one_statement() -> None:
    line, moves = Line(), [tuple(range(len(MOVE))), (8, 0, *[None] * (len(MOVE) - 2))]
    text.Statements().update_hosts(connection(line), moves)
    json = f"[[{','.join(map(str, range(len(MOVE))))}],[8,0{',null' * (len(MOVE) - 2)}]]"
    [sent] = line.sent
    assert sent.startswith(f"{text.UPDATE}'{json}', '$[*]' COLUMNS (id BIGINT PATH '$[0]', moves BIGINT PATH '$[1]', ")


@pytest.mark.parametrize(("skip_locked", "end"), [(False, "(7,8) FOR UPDATE"), (True, "(7,8) FOR UPDATE SKIP LOCKED")])
def test_hosts_are_locked_in_one_statement(skip_locked: bool, end: str) -> None:  # noqa: FBT001 - a case
    line = Line('[[7, 1, 2, 3.5, "a"], [8, null, null, null, "b"]]')
    held = text.Statements().lock_hosts(connection(line), [7, 8], skip_locked=skip_locked)
    assert line.sent == [text.LOCK[:-1] + end]
    assert held == {7: Held(1, 2, 3.5, "a"), 8: Held(None, None, None, "b")}


def test_no_host_is_held_where_none_is_found() -> None:
    assert text.Statements().lock_hosts(connection(Line()), [7], skip_locked=False) == {}


@pytest.mark.parametrize("begin", [text.CONTAINERS, text.DETAILS, text.REPORTS, text.PENDING, text.UPDATE, text.LOCK])
def test_an_echoed_statement_keeps_its_values_to_itself(begin: str) -> None:
    record = echoed(f"{begin}secret")
    assert text.without_values(record)
    assert record.msg == f"{begin}..."


@pytest.mark.parametrize("message", ["SELECT 1", 7])
def test_any_other_line_is_echoed_as_it_is(message: object) -> None:
    record = echoed(message)
    assert text.without_values(record)
    assert record.msg == message


def echoed(message: Any) -> logging.LogRecord:  # noqa: ANN401 - a log line may be any object
    return logging.LogRecord("sqlalchemy.engine.Engine", logging.INFO, __file__, 1, message, None, None)
