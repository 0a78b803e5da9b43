"""The straightforward server that ours is compared with: what one writes from the README in an hour.

A sync handler, a session per request, an ORM object per container, a commit per request. Nothing slows it down on
purpose: the session is opened in the handler, which is faster than a `yield` dependency; there is no `reports` row; on
SQLite it has our driver and PRAGMAs. `uvicorn benchmarks.naive:app` serves it with uvicorn's defaults, its access log
included.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, Engine, ForeignKey, Index, String, create_engine, event, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from database.dialect_sqlite import sqlite_module

Id = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
Name = String(255).with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


class Base(DeclarativeBase):
    type_annotation_map = {str: Name}  # noqa: RUF012 - declared so by SQLAlchemy


class Host(Base):
    __tablename__ = "hosts"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    host_name: Mapped[str] = mapped_column(unique=True)
    cpu_percentage: Mapped[float | None]
    cpu_cores: Mapped[int | None]
    cpu_threads: Mapped[int | None]
    memory_usage: Mapped[float | None]
    memory_percentage: Mapped[float | None]
    get_datetime: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]


class Container(Base):
    __tablename__ = "containers"
    __table_args__ = (Index("ix_containers_host_sampled", "host_id", "sampled_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    engine_type: Mapped[str]
    cluster_name: Mapped[str]
    node_name: Mapped[str]
    container_name: Mapped[str]
    status: Mapped[str]
    cpu_percentage: Mapped[float | None]
    memory_usage: Mapped[float | None]
    memory_percentage: Mapped[float | None]
    get_datetime: Mapped[datetime | None]
    host_id: Mapped[int] = mapped_column(Id, ForeignKey("hosts.id"))
    sampled_at: Mapped[datetime]


class HostIn(BaseModel):
    host_name: str = Field(min_length=1, max_length=255)
    cpu_percentage: float | None = None
    cpu_cores: int | None = None
    cpu_threads: int | None = None
    memory_usage: float | None = None
    memory_percentage: float | None = None
    get_datetime: datetime | None = None


class ContainerIn(BaseModel):
    engine_type: str = "docker"
    cluster_name: str = ""
    node_name: str = ""
    container_name: str = Field(min_length=1, max_length=255)
    status: str = "unknown"
    cpu_percentage: float | None = None
    memory_usage: float | None = None
    memory_percentage: float | None = None
    get_datetime: datetime | None = None


class ReportIn(BaseModel):
    host: HostIn
    containers: list[ContainerIn] = Field(default_factory=list, max_length=2_000)


class Stored(BaseModel):
    host_id: int
    containers_count: int
    timestamp: datetime


class Answer(BaseModel):
    success: bool = True
    resultCode: str = "0"  # noqa: N815 - as it is on the wire
    resultMessage: str  # noqa: N815 - the same
    data: Stored


def make_engine(url: str) -> Engine:
    """The pool of our defaults, and on SQLite our driver, PRAGMAs and a patient wait for the one writer."""
    pool: dict[str, Any] = {"pool_size": 10, "max_overflow": 20}
    if not url.startswith("sqlite"):
        return create_engine(url, **pool)
    engine = create_engine(url, module=sqlite_module(), connect_args={"timeout": 30}, **pool)

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}")

    return engine


engine = make_engine(os.environ.get("DATABASE_URL", "sqlite:///naive.db"))
SessionLocal = sessionmaker(engine)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Makes the tables."""
    Base.metadata.create_all(engine)
    yield


app = FastAPI(title="The straightforward server", lifespan=lifespan)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/resources")
def store(report: ReportIn) -> Answer:
    now = datetime.now(UTC).replace(tzinfo=None)
    with SessionLocal() as session:
        host = session.scalar(select(Host).where(Host.host_name == report.host.host_name))
        if host is None:
            host = Host(host_name=report.host.host_name)
            session.add(host)
        for name, value in report.host.model_dump(exclude={"host_name"}).items():
            setattr(host, name, value)
        host.last_seen = now
        session.flush()
        host_id = host.id
        session.add_all(
            Container(**container.model_dump(), host_id=host_id, sampled_at=now) for container in report.containers
        )
        session.commit()
    count = len(report.containers)
    data = Stored(host_id=host_id, containers_count=count, timestamp=now)
    return Answer(resultMessage=f"container_count: {count}", data=data)
