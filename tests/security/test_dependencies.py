"""What is installed is what was reviewed: every dependency by version and hash, and a committed list of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.security import dependencies
from scripts.security.dependencies import PAGE, REQUIREMENTS, Locked, main, page, sections

ROOT = Path(__file__).resolve().parents[2]
LOCKS = list(sections())


@pytest.mark.parametrize(("title", "lock", "locked"), LOCKS, ids=[lock for _, lock, _ in LOCKS])
def test_every_dependency_is_pinned_by_version_and_hash(title: str, lock: str, locked: list[Locked]) -> None:
    assert locked
    without = [f"{each.name} {each.version}" for each in locked if not each.hashes or not all(each.hashes)]
    assert without == []
    assert [each for each in locked if not re.match(r"v?\d", each.version)] == []


def test_every_lock_file_of_the_repository_is_looked_at() -> None:
    committed = {
        path.relative_to(ROOT).as_posix()
        for folder in (ROOT / "scripts", ROOT / "tests", ROOT / "market")
        for path in folder.rglob("requirements*.txt")
        if "node_modules" not in path.parts
    }
    assert committed == set(REQUIREMENTS.values())


def test_nothing_is_installed_past_the_hashes() -> None:
    """All of the Makefile's ways to install."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    pips = re.findall(r"pip install[^\n&|)]*", text)
    assert len(pips) >= 5
    assert [each for each in pips if "--require-hashes" not in each] == []
    assert re.search(r"^SYNC := .* sync .*--locked", text, re.MULTILINE)
    assert re.findall(r"npm (?:ci|install|i)\b", text) == ["npm ci"]


def test_the_committed_list_is_what_the_lock_files_say() -> None:
    """`python -m scripts.security.dependencies --write` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_a_line_that_pins_nothing_and_a_list_that_has_rotted_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requirements.txt").write_text("one==1.0 --hash=sha256:ab\ntwo>=2\n")
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="two>=2"):
        dependencies.required_packages("requirements.txt")
    monkeypatch.undo()
    monkeypatch.setattr(dependencies, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("old")
    assert main([]) == 1
    assert "--write" in capsys.readouterr().err
    assert main(["--write"]) == 0
    assert main([]) == 0
