"""Gas does not worsen unnoticed: a figure more than 2 % above the snapshot fails until the snapshot is written anew."""

from __future__ import annotations

import warnings

import pytest

from scripts.bench.gas.plan import measure_snapshot
from scripts.bench.gas.snapshot import COMMAND, compare, read_snapshot


@pytest.mark.slow
def test_no_figure_is_worse_than_the_snapshot() -> None:
    comparison = compare(read_snapshot(), measure_snapshot(lambda *_: None))
    advice = f"if that is meant, write the snapshot anew in the same commit: {COMMAND}"
    assert not comparison.worse, "\n".join([*comparison.worse, advice])
    if comparison.better:
        warnings.warn("\n".join(["cheaper than the snapshot:", *comparison.better, advice]), stacklevel=1)
