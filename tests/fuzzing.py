"""What the fuzz tests draw from. Every run draws the same: a build must not fail by chance."""

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tests.service import SAMPLE

# No deadline: one example is several requests to a real server on a busy machine.
FIXED = settings(derandomize=True, deadline=None, database=None)
HOSTILE = (
    "'; DROP TABLE hosts; --",
    '"',
    "\\",
    "\\'",
    "\\\\",
    "''",
    "\\0",
    "%s %(a)s %% :name ? {}",
    "<script>alert(1)</script>",
    "\u5c27",
    "\u00bf\u0027",
    "_utf8mb4 X'41'",
    "/*! SELECT 1 */",
    "카페",
    "cafe\u0301",
    "\U0001f600",
    "\U0001f601",
    "\U0010ffff" * 255,
    "\u200b",
    "\ufeffname",
    "NULL",
    "-1",
)
# What every name may hold: no controls, separators, bidirectional overrides, surrogates.
_REFUSED = "".join(
    map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
_ANY = st.characters(exclude_characters=_REFUSED, exclude_categories=["Cs"])
_NASTY = st.sampled_from("'\"\\%`;-_#\u5c27\u00bf\U0001f600 \u00a0")
names = (
    st.text(st.one_of(_ANY, _NASTY), min_size=1, max_size=255).filter(str.strip)
    | st.text(_NASTY, min_size=1, max_size=20).filter(str.strip)
    | st.sampled_from(HOSTILE)
)

_NUMBERS = st.sampled_from([10**9, 10**9 + 1, -(10**9), 2**31, 2**63, 10**400, 1e308, 5e-324, -0.0])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | _NUMBERS
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["1e400", "9" * 5000, "-0", " 5 ", "1_0", "٣", "", "\0", "x" * 256, "2025-06-23 24:00:00"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = ["host_name", "node_name", *SAMPLE["host"], *SAMPLE["containers"][0]]


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    """A good report in which a few places were overwritten, removed or added."""
    report: dict[str, Any] = json.loads(json.dumps({**SAMPLE, "age_s": 1.5}))
    for _ in range(draw(st.integers(0, 3))):
        target = draw(st.sampled_from([report, report.get("host"), *_containers(report)]))
        if not isinstance(target, dict):
            continue
        field = draw(st.sampled_from([*target, *_FIELDS, "unknown"]))
        if draw(st.booleans()) and field in target:
            del target[field]
        else:
            target[field] = draw(values)
    return report


def _containers(report: dict[str, Any]) -> list[Any]:
    found = report.get("containers")
    return found if isinstance(found, list) else []
