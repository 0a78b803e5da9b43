"""Which tests judge the mutants of which module (`tests/mutation.py`)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.servers import MariaDb

# What a forked process imports anew.
OURS = {"config", "database", "model", "services", "routers", "utils", "main", "commands", "manage", "logger", "tests"}
LIBRARIES = (
    "_hypothesis_pytestplugin",
    "alembic.command",
    "anyio.pytest_plugin",
    "fastapi.openapi.docs",
    "fastapi_offline",
    "httpx",
    "hypothesis.strategies",
    "pydantic.v1",
    "pymysql",
    "pytest_cov.plugin",
    "pytest_timeout",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "trustme",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)
OPTIONS = (
    "-qx",
    "--assert=plain",  # rewriting the tests costs more than most of them
    "--timeout=20",
    *("-m", "not faults"),
    *("-o", "filterwarnings=default"),
    *("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:anyio"),
)


class Pass(NamedTuple):
    """Tests, the quickest first, and the engines they run on."""

    engines: str
    tests: tuple[str, ...]

    @property
    def environ(self) -> dict[str, str]:
        return {"TEST_ENGINES": self.engines}

    @property
    def arguments(self) -> list[str]:
        return [*OPTIONS, *(f"tests/{test}" for test in self.tests)]


def _quick(*tests: str) -> Pass:
    return Pass("sqlite", tests)


def _real(*tests: str) -> Pass:
    return Pass("mariadb", tests)


PLAN: dict[str, tuple[Pass, ...]] = {
    "database/rows.py": (_quick("test_rows.py"), _quick("test_intake.py", "test_idempotency.py", "test_details.py")),
    "database/batch.py": (_quick("test_moves.py", "test_presence.py"),),
    "database/waiting.py": (_quick("test_waiting.py"), _quick("test_writer.py")),
    "database/dialect_mysql_text.py": (
        _quick("test_statements_text.py"),
        _real("test_statements.py", "test_details.py"),
    ),
    "model/envelope.py": (_quick("test_codes.py"), _quick("test_docs.py", "test_envelope.py")),
    "model/fields.py": (_quick("test_rules.py"), _quick("test_details.py", "test_docs.py")),
    "model/times.py": (_quick("test_rules.py"), _quick("test_agent_times.py", "test_details.py")),
    "model/schemas.py": (
        _quick("test_report_forms.py", "test_details.py"),
        _quick("test_docs.py", "test_reads.py", "test_operations.py"),
    ),
    "services/oddities.py": (_quick("test_odd_reports.py"), _quick("test_oddities.py")),
    "database/writer.py": (
        _quick("test_writer_queue.py", "test_writer_jobs.py"),
        _quick("test_deploy.py::test_nobody_kills_the_server_before_it_has_drained"),
        _quick("test_writer.py"),
    ),
    "database/dialect_sqlite_json.py": (_quick("test_statements.py", "test_sqlite_sessions.py", "test_details.py"),),
    "database/dialect_sqlite.py": (
        _quick("test_statements.py", "test_sqlite_sessions.py"),
        _quick("test_log_lines.py::test_echoed_statements_hold_no_value"),
    ),
    "database/dialect_mysql.py": (
        _quick("test_mysql_engine.py"),
        *map(_real, ("test_statements.py", "test_tls.py", "test_mysql_sessions.py")),
    ),
}


@contextmanager
def prepared(paths: Iterable[str]) -> Iterator[None]:
    """One MariaDB for the whole run, if any of the modules needs it."""
    if all(tests.engines == "sqlite" for path in paths for tests in PLAN[path]):
        yield
        return
    with MariaDb() as server:
        os.environ["TEST_MARIADB_URL"] = f"mysql://root:{server._password}@{server.host}:{server.port}"
        yield
