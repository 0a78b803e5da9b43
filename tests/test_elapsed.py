import math

import pytest

from tests.elapsed import TooSlow, within


@pytest.mark.parametrize("took", [0.0, 1.9, 2.0])
def test_what_is_in_time_passes(took: float) -> None:
    within(took, 2)


@pytest.mark.parametrize("took", [2.01, math.inf, math.nan])
def test_what_takes_longer_is_told_with_its_limit(took: float) -> None:
    with pytest.raises(TooSlow, match=rf"^{took:g} s to start, where the limit is 2$"):
        within(took, 2, "s to start")
