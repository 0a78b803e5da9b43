"""The audit log's lines of what commands change."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from commands.common import configured
from config.config import Settings
from logger import audit_at_once


@contextmanager
def audited(name: str, /, **fields: object) -> Iterator[dict[str, object]]:
    """Tells what a command did, or failed to do; what the block learns of it goes into the fields."""
    settings = configured()
    told: dict[str, object] = {"by": "cli", "user": _user(), **fields}
    try:
        yield told
    except BaseException as error:
        reason = error.message if isinstance(error, click.ClickException) else type(error).__name__
        _tell(settings, name, {**told, "ok": False, "error": reason})
        raise
    _tell(settings, name, {**told, "ok": True})


def _tell(settings: Settings, name: str, told: dict[str, object]) -> None:
    try:
        with _as_owner_of(settings.security.audit_path.parent):
            audit_at_once(settings, name, **told)
    except Exception as error:  # noqa: BLE001 - the file's edge: what was to be done is done, whatever fails it
        click.echo(f"the audit log cannot be written: {error}", err=True)


def _user() -> str:
    """The system's word: anybody may set USER."""
    try:
        import pwd  # noqa: PLC0415 - Windows has none
    except ImportError:
        return getpass.getuser()
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


@contextmanager
def _as_owner_of(folder: Path) -> Iterator[None]:
    """Root writes as the folder's owner: the server must be able to go on with the file, and no link lead elsewhere."""
    owner = folder.stat() if folder.is_dir() else None
    if owner is None or not hasattr(os, "geteuid") or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
