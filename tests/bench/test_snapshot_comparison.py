"""What the comparison with the gas snapshot calls worse, and what it only mentions."""

from __future__ import annotations

from pathlib import Path

from scripts.bench.gas.snapshot import compare, read_snapshot, write_snapshot


def test_two_percent_more_is_allowed_and_more_is_worse() -> None:
    assert compare({"gas_clear": 1000}, {"gas_clear": 1020}).worse == ()
    assert compare({"gas_clear": 1000}, {"gas_clear": 1021}).worse == ("gas_clear: 1,000 → 1,021 gas (+2.1%)",)


def test_a_better_figure_is_mentioned_only() -> None:
    comparison = compare({"gas_clear": 1000}, {"gas_clear": 900})
    assert comparison.worse == ()
    assert comparison.better == ("gas_clear: 1,000 → 900 gas (-10.0%)",)


def test_a_figure_on_one_side_only_is_worse() -> None:
    comparison = compare({"gas_clear": 1000}, {"gas_post": 1000})
    assert comparison.worse == ("gas_clear: not measured any more", "gas_post: not in the snapshot")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "gas" / "snapshot.json"
    write_snapshot({"gas_post": 8_600.5, "gas_clear": 450_000}, path)
    assert read_snapshot(path) == {"gas_post": 8_600.5, "gas_clear": 450_000}
    assert path.read_text().index("gas_clear") < path.read_text().index("gas_post")
