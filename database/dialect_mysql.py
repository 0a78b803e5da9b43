"""MySQL and MariaDB, by PyMySQL: every statement here works on MySQL 8.0.13 and MariaDB 10.6 alike."""

import logging
import ssl
from datetime import datetime
from functools import lru_cache
from typing import Any

import pymysql.connections
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text

from config.config import ConfigError, Settings
from database.dialect import (
    CONNECT_TIMEOUT_S,
    LOCK_WAIT_S,
    SMALLEST_PACKET,
    STATEMENT_TIMEOUT_S,
    Role,
    ServerFacts,
    Used,
)
from database.dialect_mysql_text import Statements, without_values
from model.models import metadata
from utils.utils import micros


@lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _moment(text: str) -> datetime | str:
    """Reads a DATETIME as PyMySQL does, but in C: there a pattern is matched and each part made a number."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # no date at all, as 0000-00-00
        return text


_DECODERS = {**conversions, FIELD_TYPE.DATETIME: _moment}


class _Connection(pymysql.connections.Connection):
    """PyMySQL's, but `preferred` costs 3 ms and not 28: it would load the system's authorities to verify nobody."""

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:  # noqa: ANN401 - a context, or no options at all
        return sslp if isinstance(sslp, ssl.SSLContext) else _unverified()


class MySql(Statements):
    """MySQL 8.0.13 and newer, MariaDB 10.6 and newer, by PyMySQL."""

    # Strict whatever the server's default, so that nothing is cut or rounded silently.
    MODE = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO"
    FACTS = (
        "SHOW VARIABLES WHERE Variable_name IN ('version', 'read_only', 'super_read_only', 'innodb_read_only', "
        "'log_bin', 'sync_binlog', 'innodb_flush_log_at_trx_commit', 'max_allowed_packet')"
    )
    # Sizes are told as they were when a tenth of the rows had changed, and by MySQL as of a day ago. This looks at some
    # pages of each index, is not replicated, and on MariaDB must not read whole tables for statistics of its own.
    LOOK = "/*M! SET STATEMENT use_stat_tables = never FOR */ ANALYZE LOCAL TABLE "
    SIZES = (
        "SELECT table_name, data_length + index_length FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def engine(self, role: Role) -> Engine:
        """Makes an engine of READ COMMITTED sessions; parameters stay out of every log."""
        database = self._settings.database
        engine = create_engine(
            self._url(),
            connect_args=self._connect_args(role),
            isolation_level="READ COMMITTED",
            pool_size=role.size,
            max_overflow=role.overflow,
            pool_timeout=database.pool_timeout_s,
            pool_pre_ping=not role.writes,
            pool_recycle=3600,
            pool_reset_on_return=None if role.writes else "rollback",
            echo=database.echo,
            hide_parameters=True,
        )
        event.listen(engine, "do_connect", lambda _dialect, _record, _args, given: _Connection(**given))
        logging.getLogger("sqlalchemy.engine.Engine").addFilter(without_values)
        event.listen(engine, "connect", lambda raw, _record: self._prepare_session(raw, role))
        return engine

    def _url(self) -> URL:
        """The address without the password, which PyMySQL must get as UTF-8 bytes: it would encode text as Latin-1."""
        if self._settings.database.url:
            url = make_url(self._settings.database.url.get_secret_value())
            return URL.create("mysql+pymysql", url.username, None, url.host, url.port, url.database)
        mysql = self._settings.mysql
        return URL.create("mysql+pymysql", mysql.user, None, mysql.host, mysql.port, mysql.database)

    def _password(self) -> bytes:
        if self._settings.database.url:
            return (make_url(self._settings.database.url.get_secret_value()).password or "").encode()
        secret = self._settings.mysql.password
        return secret.get_secret_value().encode() if secret else b""

    def _connect_args(self, role: Role) -> dict[str, Any]:
        """PyMySQL waits for ever unless both timeouts are set; the mode comes first as SQLAlchemy adapts to it."""
        handshake_s = min(CONNECT_TIMEOUT_S, role.read_timeout_s)
        return {
            "password": self._password(),
            "charset": "utf8mb4",
            "conv": _DECODERS,
            "sql_mode": self.MODE,
            "connect_timeout": CONNECT_TIMEOUT_S,
            # Until the session is prepared: a server that accepts and says nothing must not hold anyone for longer.
            "read_timeout": handshake_s,
            "write_timeout": handshake_s,
            "program_name": "resource-monitor",
            **self._tls(),
        }

    def _tls(self) -> dict[str, Any]:
        """One context for all connections of an engine, in the modes of MySQL's own clients."""
        mode, ca = self._settings.mysql.ssl_mode, self._settings.mysql.ssl_ca
        if mode in ("disabled", "preferred"):
            return {"ssl_disabled": mode == "disabled"}
        if mode == "required":
            return {"ssl": _unverified()}
        try:
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
        except OSError:  # ssl.SSLError is one
            raise ConfigError(f"[mysql] ssl_ca = {ca} is refused: give the path of an existing PEM file.") from None
        # Python 3.13 turned rules on that the certificates MySQL makes for itself do not keep.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = mode == "verify_identity"
        return {"ssl": context}

    def _prepare_session(self, raw: Any, role: Role) -> None:  # noqa: ANN401 - the driver's connection
        """Sets what a session needs; MariaDB counts a statement's time in seconds, MySQL in milliseconds."""
        limit = ""
        if not role.writes:
            maria = "MariaDB" in raw.get_server_info()
            name, unit = ("max_statement_time", 1) if maria else ("max_execution_time", 1000)
            limit = f", {name}={STATEMENT_TIMEOUT_S * unit}"
        with raw.cursor() as cursor:
            # The collation is set here because SQLAlchemy's own SET NAMES, just before, takes the server's.
            cursor.execute(
                "SET SESSION collation_connection='utf8mb4_bin', time_zone='+00:00', "
                f"innodb_lock_wait_timeout={LOCK_WAIT_S}{limit}"
            )
        raw._read_timeout = raw._write_timeout = role.read_timeout_s  # noqa: SLF001 - PyMySQL has no public way

    def now(self, connection: Connection) -> int:
        """Reads the server's clock."""
        return micros(connection.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one())

    def used(self, connection: Connection, *, fresh: bool) -> Used:
        """The sizes of clustered and secondary indexes: extents that were freed are in neither."""
        if fresh:
            connection.execute(text(self.LOOK + ", ".join(metadata.tables))).all()
        tables = {str(name): int(size) for name, size in connection.execute(text(self.SIZES))}
        return Used(sum(tables.values()), tables)

    def facts(self, connection: Connection) -> ServerFacts:
        """Reads the server's variables; relaxed means that a crash of its machine may lose what it had committed."""
        rows = connection.exec_driver_sql(self.FACTS, execution_options={"no_parameters": True})
        found = {str(name).lower(): str(value) for name, value in rows}
        version = found.get("version", "")
        binlog_safe = found.get("log_bin") != "ON" or found.get("sync_binlog") == "1"
        return ServerFacts(
            engine="MariaDB" if "MariaDB" in version else "MySQL",
            version=version,
            writable="ON" not in (found.get(name) for name in ("read_only", "super_read_only", "innodb_read_only")),
            durable=found.get("innodb_flush_log_at_trx_commit", "1") == "1" and binlog_safe,
            max_packet=int(found.get("max_allowed_packet", SMALLEST_PACKET)),
        )
