"""What the system allows a process: as much as it lets everyone have."""

import contextlib


def allow_connections() -> None:
    """Raises the soft limit of open files to the hard one: each connection is a file, and 1,024 is the usual limit."""
    try:
        import resource  # noqa: PLC0415 - Windows has neither this module nor such a limit
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says unlimited and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def files_allowed() -> int | None:
    """How many files this process may have open; None if nothing limits it."""
    try:
        import resource  # noqa: PLC0415 - Windows has neither this module nor such a limit
    except ImportError:
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else most
