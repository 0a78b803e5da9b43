"""The settings as frozen sections: their keys and their defaults."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from config.kinds import (
    ROOT,
    SERVER_URL,
    SQLITE_URL,
    Charset,
    Count,
    CountFromOne,
    Days,
    Flag,
    Gib,
    Headers,
    HostNames,
    JwtSecret,
    Level,
    LogFile,
    LogFormat,
    Methods,
    Name,
    Networks,
    OptionalName,
    Origins,
    Password,
    PemFile,
    Port,
    RemoteHost,
    RemotePort,
    Seconds,
    SecurityMode,
    ServerLevel,
    Source,
    SslMode,
    Text,
    Url,
    WebhookUrl,
    Workers,
    Zone,
)

__all__ = ["ROOT", "SECTIONS", "SERVER_URL", "SQLITE_URL", "Settings", "Source"]


class Section(BaseModel):
    """One section of config.ini; an error never quotes its input, which may be a password."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class Database(Section):
    """[database]: the pool, and the URL that goes before [mysql]."""

    echo: Flag = False
    pool_size: CountFromOne = 10
    max_overflow: Count = 20
    url: Url = None
    pool_timeout_s: Seconds = 10.0
    migrate_on_start: Flag = True


class MySQL(Section):
    """[mysql]: where a MySQL or MariaDB server is; without a host the embedded SQLite file is used."""

    host: RemoteHost = None
    port: RemotePort = 3306
    user: OptionalName = None
    password: Password = None
    database: OptionalName = None
    charset: Charset = "utf8mb4"
    ssl_mode: SslMode = "preferred"
    ssl_ca: PemFile = None


class Server(Section):
    """[server]: the address this server listens on, and its processes."""

    host: Name = "0.0.0.0"  # noqa: S104 - the owner's default: agents on other machines report to it
    port: Port = 8000
    reload: Flag = False
    log_level: ServerLevel = "info"
    workers: Workers = 1
    allowed_hosts: HostNames = ["*"]
    forwarded_allow_ips: Networks = []
    ssl_certfile: PemFile = None
    ssl_keyfile: PemFile = None
    ssl_keyfile_password: Password = None


class App(Section):
    """[app]: what OpenAPI and / show."""

    title: Name = "Resource Monitor Server"
    description: Text = "Agent로부터 Docker 자원 사용량 정보를 수집하는 서버"
    version: Name = "1.0.0"
    debug: Flag = False
    timezone: Zone = None
    docs: Flag = True


class Cors(Section):
    """[cors]: which web pages of other origins may call the server."""

    allow_origins: Origins = ["*"]
    allow_methods: Methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
    allow_headers: Headers = ["*"]
    allow_credentials: Flag = False


class Logging(Section):
    """[logging]: the server's own log; max_file_size is in bytes."""

    level: Level = "INFO"
    format: LogFormat = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    file_path: LogFile = Path("logs/app.log")
    max_file_size: Count = 10_485_760
    backup_count: Count = 5


class Security(Section):
    """[security]: who may report and read, and what a client may take of each process; 0 is no limit."""

    mode: SecurityMode = "off"
    max_connections_per_ip: Count = 0
    rate_limit_per_minute: Count = 0
    rate_limit_burst: CountFromOne = 100
    max_new_hosts_per_hour: Count = 0
    audit_path: LogFile = Path("logs/audit.log")
    jwt_secret: JwtSecret = None


class Monitoring(Section):
    """[monitoring]: how hosts are judged, for how many days what is kept (0: for ever), and in what size."""

    offline_after_s: Seconds = 180.0
    retention_raw_days: Days = 3
    retention_1m_days: Days = 14
    retention_10m_days: Days = 90
    retention_1h_days: Days = 730
    events_retention_days: Days = 365
    webhook_url: WebhookUrl = None
    max_database_gib: Gib = 0.0


class Settings(Section):
    """Every setting, where each came from, and what is worth a warning at start."""

    database: Database = Database()
    mysql: MySQL = MySQL()
    server: Server = Server()
    app: App = App()
    cors: Cors = Cors()
    logging: Logging = Logging()
    security: Security = Security()
    monitoring: Monitoring = Monitoring()
    sources: Mapping[tuple[str, str], Source] = {}
    warnings: tuple[str, ...] = ()

    @property
    def engine_kind(self) -> Literal["sqlite", "mysql"]:
        """Tell the engine: a URL decides, else a MySQL host, else it is SQLite."""
        if url := self.database.url:
            return "sqlite" if url.get_secret_value().startswith("sqlite:") else "mysql"
        return "mysql" if self.mysql.host else "sqlite"

    @property
    def sqlite_path(self) -> Path | None:
        """Give the SQLite file's absolute path, None on MySQL."""
        if self.engine_kind == "mysql":
            return None
        url = self.database.url
        match = SQLITE_URL.fullmatch(url.get_secret_value()) if url else None
        return ROOT / (match["path"] if match else "data/resource_monitor.db")

    @property
    def server_workers(self) -> int:
        """Resolve `auto`: one worker a core on MySQL, one on SQLite, which has a single writing process."""
        if self.server.workers != "auto":
            return self.server.workers
        return 1 if self.engine_kind == "sqlite" else _cores()


def _cores() -> int:
    # A container's CPU set can be smaller than the machine; not every system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


SECTIONS: Mapping[str, type[Section]] = {
    "database": Database,
    "mysql": MySQL,
    "server": Server,
    "app": App,
    "cors": Cors,
    "logging": Logging,
    "security": Security,
    "monitoring": Monitoring,
}
