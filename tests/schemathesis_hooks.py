"""What schemathesis cannot know from the OpenAPI document; it loads this file by SCHEMATHESIS_HOOKS."""

import itertools
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

_numbers = itertools.count()


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Lets valid input be valid: a key belongs to one report, and cursors come from this server alone."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    for name in ("cursor", "at"):  # a moment has to be one of the years that a calendar here has
        case.query.pop(name, None)
    if case.path == "/api/history":  # a span has to be one, a step to fit into it, and it is of a host
        for name in ("from", "to", "step", "of", "cluster_name", "engine_type"):
            case.query.pop(name, None)
        case.query.setdefault("host_id", 1)
    if case.path == "/api/trends":  # containers are of one host
        case.query.pop("of", None)
    if case.path in ("/api/diff", "/api/events"):
        for name in ("from", "to"):
            case.query.pop(name, None)
    if case.operation.label == "POST /api/tokens" and isinstance(case.body, dict):  # which of them belong together
        case.body.update({"scope": "ingest", "binding": "host", "host_name": "a", "expires_in_days": 1})
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"
