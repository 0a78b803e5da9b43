"""Makes the views that dashboards and other programs read; what a killed run made of them is left as it is."""

from alembic import op
from sqlalchemy import Connection, inspect

revision = "0005"
down_revision = "0004"

METRICS = ("cpu_percentage", "memory_usage", "memory_percentage")
# MySQL and MariaDB read these comments: whoever asks needs rights of his own, and the index is that of the lists.
INVOKER = "/*!50001 SQL SECURITY INVOKER */"
HINT = "/*!50001 FORCE INDEX (ix_containers_host_sampled) */"

VERSION = "SELECT 1 AS version"

CURRENT_HOSTS = """
SELECT id AS host_id, host_name, cpu_percentage, cpu_cores, cpu_threads, memory_usage, memory_percentage, get_datetime,
  sampled_at, last_seen, expected_by, dark_since, containers_count, containers_running,
  os, kernel, uptime_s, load1, disk_usage, disk_total, network_received, network_sent
FROM hosts
WHERE deleted_at IS NULL AND sampled_at IS NOT NULL
"""

# The plus keeps every engine from beginning with the containers, which would be the whole history.
CURRENT_CONTAINERS = f"""
SELECT hosts.id AS host_id, hosts.host_name, c.engine_type, c.cluster_name, c.node_name, c.container_name, c.status,
  c.cpu_percentage, c.memory_usage, c.memory_percentage, c.get_datetime, c.sampled_at,
  c.container_id, c.image, c.restart_count, c.exit_code, c.oom_killed, c.health, c.started_at
FROM hosts JOIN containers c {HINT} ON c.host_id = +hosts.id AND c.sampled_at = hosts.sampled_at
WHERE hosts.deleted_at IS NULL AND hosts.containers_count > 0
"""  # noqa: S608 - our own words


def spread(metric: str) -> str:
    known = f"NULLIF(r.samples - COALESCE(r.{metric}_nulls, 0), 0)"
    least, most = (f"r.{metric}_{name} AS {metric}_{name}" for name in ("min", "max"))
    return f"r.{metric}_sum / {known} AS {metric}_avg, {least}, {most}"


HISTORY_HOURLY = f"""
SELECT hosts.host_name, NULLIF(series.engine_type, '') AS engine_type,
  NULLIF(series.container_name, '') AS container_name, r.begins_at, r.samples,
  {", ".join(map(spread, METRICS))}, r.status
FROM rollup_3600 r JOIN series ON series.id = r.series_id JOIN hosts ON hosts.id = series.host_id
WHERE hosts.deleted_at IS NULL
"""  # noqa: S608 - our own words

EVENTS = """
SELECT hosts.host_name, NULLIF(series.engine_type, '') AS engine_type,
  NULLIF(series.container_name, '') AS container_name, e.at,
  CASE WHEN e.kind <> 'appeared' THEN e.kind WHEN e.at = series.first_at THEN 'first_seen' ELSE 'returned' END AS kind,
  e.from_value, e.to_value, e.details
FROM events e JOIN series ON series.id = e.series_id JOIN hosts ON hosts.id = e.host_id
WHERE hosts.deleted_at IS NULL
"""

VIEWS = {
    "v_version": VERSION,
    "v_current_hosts": CURRENT_HOSTS,
    "v_current_containers": CURRENT_CONTAINERS,
    "v_history_hourly": HISTORY_HOURLY,
    "v_events": EVENTS,
}


def make_views(connection: Connection) -> None:
    """Makes all views of this revision; a restored database has its tables without them (`database/schema.py`)."""
    known = inspect(connection).get_view_names()
    for name, query in VIEWS.items():
        if name not in known:
            connection.exec_driver_sql(f"CREATE {INVOKER} VIEW {name} AS {query.strip()}")


def upgrade() -> None:
    make_views(op.get_bind())
