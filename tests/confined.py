"""Runs a program of this project's Python under the limits that a systemd unit sets to system calls, without systemd.

python confined.py UNIT PROGRAM ARGUMENT...
"""

import ctypes
import errno
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
EQUAL, MASKED_EQUAL = 4, 7
SHM_EXEC = 0o100000


class Condition(ctypes.Structure):
    """What an argument of a call must be: equal to `a`, or `b` in the bits of `a`."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def without(argument: int, bit: int) -> Condition:
    """That this bit is not set."""
    return Condition(argument, MASKED_EQUAL, bit, 0)


# What MemoryDenyWriteExecute=yes leaves of these calls: one of the conditions has to hold.
NO_NEW_CODE = {
    "mmap": [without(2, mmap.PROT_WRITE), without(2, mmap.PROT_EXEC)],
    "mprotect": [without(2, mmap.PROT_EXEC)],
    "pkey_mprotect": [without(2, mmap.PROT_EXEC)],
    "shmat": [without(2, SHM_EXEC)],
}


def values(unit: str, key: str) -> list[str]:
    """What a unit gives a key, line by line."""
    return [value.strip() for line in unit.splitlines() for name, _, value in [line.partition("=")] if name == key]


def allowed_calls(filters: Iterable[str]) -> set[str]:
    """The system calls that remain of filters as `@system-service` and `~@privileged @resources`, in their order."""
    groups = _groups()
    calls = _expand(groups, ["@default"])
    for line in filters:
        named = _expand(groups, line.removeprefix("~").split())
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def _groups() -> dict[str, list[str]]:
    listed = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    groups: dict[str, list[str]] = {}
    members: list[str] = []
    for line in listed.splitlines():
        if line.startswith("@"):
            groups[line] = members = []
        elif (word := line.strip()) and not word.startswith("#"):
            members.append(word)
    return groups


def _expand(groups: dict[str, list[str]], words: Iterable[str]) -> set[str]:
    return {call for word in words for call in (_expand(groups, groups[word]) if word in groups else [word])}


def conditions(unit: str) -> dict[str, list[Condition]]:
    """Under what conditions a unit leaves some of the calls."""
    families = [getattr(socket, name) for line in values(unit, "RestrictAddressFamilies") for name in line.split()]
    code = NO_NEW_CODE if values(unit, "MemoryDenyWriteExecute") == ["yes"] else {}
    return {"socket": [Condition(0, EQUAL, family, 0) for family in families], **code}


def confine(unit: str) -> None:
    """Sets the limits for this process and all that it starts."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    special = conditions(unit)
    for call in allowed_calls(values(unit, "SystemCallFilter")):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        for condition in special.get(call, [None]) if number >= 0 else ():  # a negative one is another processor's
            given = (1, ctypes.byref(condition)) if condition else (0, None)
            seccomp.seccomp_rule_add_array(context, ALLOW, number, *given)
    if seccomp.seccomp_load(context):  # sets no_new_privs too
        raise OSError("seccomp_load")


def main() -> NoReturn:
    """Never returns: the program takes this process's place."""
    unit, *program = sys.argv[1:]
    confine(Path(unit).read_text(encoding="utf-8"))
    os.execv(sys.executable, [sys.executable, *program])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
