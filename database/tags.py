"""The words by which operators group hosts. Connection in, rows out; nothing here commits."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Concatenate, ParamSpec

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select

from database.dialect import gathered
from database.pages import Page
from model.models import host_tags, hosts

P = ParamSpec("P")
# Of so many hosts the tags are read host by host; of more, those of all hosts between the first and the last.
FEW = 100

_ROWS = select(host_tags.c.tag, gathered(host_tags.c.host_id)).group_by(host_tags.c.tag)


def of(connection: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    """The tags of hosts, in the order of their letters; a host without any is left out.

    One row a tag and not one a host, for it is rows that cost the driver.
    """
    found: dict[int, list[str]] = defaultdict(list)
    if ids:
        of_hosts = host_tags.c.host_id
        asked = of_hosts.in_(ids) if len(ids) <= FEW else of_hosts.between(min(ids), max(ids))
        for tag, text in sorted(map(tuple, connection.execute(_ROWS.where(asked)))):
            for host_id in from_json(text):
                found[host_id].append(tag)
    return found


def with_tags(
    connection: Connection, page: Callable[Concatenate[Connection, P], Page], *args: P.args, **kwargs: P.kwargs
) -> tuple[Page, dict[int, list[str]]]:
    """A page of hosts, and their tags by their ids."""
    found = page(connection, *args, **kwargs)
    return found, of(connection, [row.id for row in found.rows])


def has_all(tags: Iterable[str]) -> list[ColumnElement[bool]]:
    """What is asked of hosts that have all of these tags."""
    return [exists().where(host_tags.c.host_id == hosts.c.id, host_tags.c.tag == tag) for tag in sorted(set(tags))]


def put(connection: Connection, host_id: int, tags: Iterable[str]) -> list[str] | None:
    """Gives a host these tags and no others; None if there is no such host.

    The host is locked: of two who do so at once the later one is right, and not a mixture of both.
    """
    alive = select(hosts.c.id).where(hosts.c.id == host_id, hosts.c.deleted_at.is_(None))
    if connection.scalar(alive.with_for_update()) is None:
        return None
    put_ = sorted(set(tags))
    connection.execute(delete(host_tags).where(host_tags.c.host_id == host_id))
    if put_:
        connection.execute(insert(host_tags), [{"host_id": host_id, "tag": tag} for tag in put_])
    return put_
