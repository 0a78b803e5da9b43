"""What a row takes, its share of the indexes included: measured by `python -m benchmarks.past`, by engine.

A day of three hosts with 20 containers at ten seconds (BENCH_HOSTS=3), names of ten letters and host names of eight,
nothing that only newer agents tell. MariaDB is within two bytes of MySQL.
"""

# Bytes. The three tiers of aggregates have the same rows.
WIDTHS = {
    "sqlite": {"reports": 194, "containers": 178, "rollup_60": 141, "rollup_600": 141, "rollup_3600": 141},
    "mysql": {"reports": 204, "containers": 162, "rollup_60": 168, "rollup_600": 168, "rollup_3600": 168},
}
# Of the other tables, which are small beside these and were not measured.
OTHERS = 100


def width(engine: str, table: str) -> int:
    """Bytes a row."""
    return WIDTHS[engine].get(table, OTHERS)
