"""Pauses before the next attempt: they grow, they differ, and what does not hold does not make them short again."""

from __future__ import annotations

import random

from market.backoff import Backoff


def test_pauses_fill_a_range_that_doubles_up_to_the_longest() -> None:
    many = [Backoff(1.0, 10.0, choose=random.Random(seed)) for seed in range(2_000)]
    for bound in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
        pauses = sorted(each.next_s() for each in many)
        assert 0 <= pauses[0] < 0.01 * bound
        assert 0.99 * bound < pauses[-1] <= bound
        # No second of it is crowded: a tenth of the range holds about a tenth of them.
        tenths = [sum(bound * k / 10 <= pause < bound * (k + 1) / 10 for pause in pauses) for k in range(10)]
        assert max(tenths) < 1.35 * len(many) / 10


def test_only_a_connection_that_held_makes_the_pauses_short_again() -> None:
    backoff = Backoff(1.0, 64.0, steady_s=5.0, choose=random.Random(1))
    for _ in range(10):
        backoff.next_s()
    backoff.held(4.9)
    assert max(backoff.next_s() for _ in range(50)) > 32
    backoff.held(5.0)
    assert backoff.next_s() <= 1
