"""The shipped server with other intervals of its background jobs: `python -m benchmarks.jobs off`, or `busy`.

`off` runs none of them. `busy` begins the first sweep of retention at once, not after a minute, and the next one a
minute after the last one ended, not ten: where old rows are left the first one has work for as long as a benchmark
lasts, at its own pace and in its own transactions.
"""

import sys

import main as server
from routers import serving
from services import jobs

NEVER_S = 1e9
INTERVALS = {
    "off": {
        "PURGE_EVERY_S": NEVER_S,
        "ROLL_EVERY_S": NEVER_S,
        "PRESENCE_EVERY_S": NEVER_S,
        "RETAIN_EVERY_S": NEVER_S,
    },
    "busy": {"FIRST_S": 1.0, "RETAIN_EVERY_S": 60.0},
}


def main() -> None:
    """Serves from this process: with several workers they would have the usual intervals."""
    for name, seconds in INTERVALS[sys.argv[1]].items():
        setattr(jobs, name, seconds)
    serving.serve(server.app, server.settings_in_force)


if __name__ == "__main__":
    main()
