"""What the documentation shows exists: commands with their options, make targets, settings, files behind links."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from pydantic import BaseModel

from market.services.access import Scope
from market.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

_FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_VARIABLE = re.compile(r"MERITGRID_[A-Z0-9_]+")
_UNTIL = {"|", "&&", ";", ">", ">>", "\\"}


def command_tree() -> dict[str, Any]:
    """Sub-command of `meritgrid` → its click command, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tree = {}
    for name, place in project["entry-points"]["meritgrid.commands"].items():
        module, _, attribute = place.partition(":")
        part = getattr(import_module(module), attribute)
        if not isinstance(part, typer.Typer):
            single = typer.Typer()
            single.command()(part)
            part = single
        tree[name] = typer.main.get_command(part)
    return tree


def lines_of_code(text: str) -> Iterator[str]:
    """Lines of fenced blocks, continued ones joined, and the inline code of the rest."""
    for block in _FENCE.findall(text):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())
    yield from _INLINE.findall(_FENCE.sub("", text))


def commands_in(text: str) -> Iterator[list[str]]:
    """The words after `meritgrid` wherever it is run."""
    for line in lines_of_code(text):
        if not re.match(r"(\$ |[A-Z_]+=\S+ |uv run |sudo |[\w./-]+/)*meritgrid ", line):
            continue
        words = shlex.split(line, comments=True)
        start = next(place for place, word in enumerate(words) if Path(word).name == "meritgrid") + 1
        end = next((place for place in range(start, len(words)) if words[place] in _UNTIL), len(words))
        yield words[start:end]


def wrong_in(words: list[str], tree: dict[str, Any]) -> str | None:
    """What of a command does not exist; None when all of it does."""
    if words[0].startswith("-"):
        return None if words[0] == "--help" else f"meritgrid has no option {words[0]}"
    if words[0] not in tree:
        return f"there is no command {words[0]}"
    command, rest = tree[words[0]], words[1:]
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            break
        if rest[0] not in command.commands:
            return f"{words[0]} has no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("--") and word.partition("=")[0] not in known | {"--help"}:
            return f"{' '.join(words[:2])} has no option {word}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    tree = command_tree()
    shown = list(commands_in(page.read_text(encoding="utf-8")))
    wrong = {" ".join(words): problem for words in shown if (problem := wrong_in(words, tree))}
    assert not wrong


def test_the_check_finds_commands_and_options_that_do_not_exist() -> None:
    tree = command_tree()
    page = "```sh\n$ meritgrid offer \\\n  list --colour red\nuv run meritgrid nothing\n```\nand `meritgrid dso stop`."
    found = [wrong_in(words, tree) for words in commands_in(page)]
    assert found == ["offer list has no option --colour", "there is no command nothing", "dso has no command stop"]


def scripts_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """(module, words after it) of every script of ours that is shown with options, by Python or by make."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    passed_on = {name: module for module, name in re.findall(r"python -m ([\w.]+) .*?\$\(([A-Z]+_ARGS)\)", makefile)}
    for line in lines_of_code(text):
        for module, words in re.findall(r"python -m (scripts[\w.]*)([^|&;#]*)", line):
            yield module, shlex.split(words)
        for name, words in re.findall(r'make [a-z-]+ ([A-Z]+_ARGS)="([^"]*)"', line):
            if name in passed_on:
                yield passed_on[name], shlex.split(words)


def wrong_in_script(module: str, words: list[str]) -> str | None:
    """What of a script's command does not exist; None when all of it does."""
    path = ROOT / module.replace(".", "/")
    if not (path.is_dir() or path.with_suffix(".py").is_file()):
        return f"there is no {module}"
    script = import_module(f"{module}.__main__" if path.is_dir() else module)
    part = vars(script).get("app", vars(script).get("main"))
    if part is None or "typer" not in vars(script):
        text = Path(str(script.__file__)).read_text(encoding="utf-8")
        unknown = [word for word in words if word.startswith("--") and f'"{word.partition("=")[0]}"' not in text]
        return f"{module} has no option {unknown[0]}" if unknown else None
    if not isinstance(part, typer.Typer):
        single = typer.Typer()
        single.command()(part)
        part = single
    return wrong_in([module, *words], {module: typer.main.get_command(part)})


def test_every_script_that_is_shown_exists_with_its_options() -> None:
    shown = {(module, *words): words for page in PAGES for module, words in scripts_in(page.read_text("utf-8"))}
    assert {"scripts.chaos", "scripts.network"} <= {module for module, *_ in shown}
    found = {key: wrong_in_script(key[0], words) for key, words in shown.items()}
    assert not {" ".join(key): problem for key, problem in found.items() if problem}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_ours_that_a_command_takes_is_there(page: Path) -> None:
    """From the repository's folder, where the commands are run."""
    lines = lines_of_code(page.read_text(encoding="utf-8"))
    named = {path for line in lines for path in re.findall(r"(?<![\w/.-])scripts/[\w./@*-]+(?!\S)", line)}
    assert not [path for path in named if not list(ROOT.glob(path))]


def test_the_check_finds_scripts_and_options_that_do_not_exist() -> None:
    page = """```sh
make chaos CHAOS_ARGS="--minutes 1 --loud"
python -m scripts.network admit tso
python -m scripts.network add-validator tso --at x
python -m scripts.security.dependencies --read
python -m scripts.nothing --write
```"""
    assert [wrong_in_script(*script) for script in scripts_in(page)] == [
        "scripts.chaos --minutes has no option --loud",
        "scripts.network has no command admit",
        "scripts.network add-validator has no option --at",
        "scripts.security.dependencies has no option --read",
        "there is no scripts.nothing",
    ]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(name, command) of everything that does something."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, each in command.commands.items():
        yield from leaves(each, (*path, name))


def test_every_command_answers_as_json_on_demand_and_shows_an_example_that_works() -> None:
    tree = command_tree()
    wrong: dict[str, str] = {}
    for name, command in (found for group, part in tree.items() for found in leaves(part, (group,))):
        options = {option for parameter in command.params for option in parameter.opts}
        text = " ".join((command.help or "").split())
        example = re.search(r"Example: (?:[A-Z_]+=\S+ )*meritgrid (.+)$", text)
        if "--json" not in options:
            wrong[name] = "has no --json"
        elif example is None:
            wrong[name] = "shows no example"
        elif not example[1].startswith(name) or wrong_in(shlex.split(example[1]), tree):
            wrong[name] = f"its example is wrong: {example[1]}"
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = [link for link in _LINK.findall(text) if "://" not in link and not _resolves(page, link)]
    assert not broken


def _resolves(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return False
    return not anchor or anchor in {_anchor(heading) for heading in _HEADING.findall(target.read_text("utf-8"))}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_is_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = "\n".join(lines_of_code(page.read_text(encoding="utf-8")))
    assert set(re.findall(r"(?:^|\n)(?:\$ )?make ([a-z-]+)", code)) <= targets


def settings_variables(model: type[BaseModel], prefix: str = "MERITGRID_") -> Iterator[str]:
    """Environment variables of the settings object."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_variables(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def test_the_operations_page_lists_every_setting_of_the_settings_object() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(settings_variables(Settings)) <= set(_VARIABLE.findall(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_is_named_is_read_by_some_source(page: Path) -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("market", "oracle", "gateway_agent", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in {".py", ".sh", ".yaml", ""} and "node_modules" not in path.parts
    ]
    deploy = {f"MERITGRID_DEPLOY_{name}" for name in ("TIME_UNIT_S",)}
    known = set(settings_variables(Settings)) | deploy | set(_VARIABLE.findall("\n".join(sources)))
    assert set(_VARIABLE.findall(page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("page", ["prosumers.md", "aggregators.md"])
def test_the_pages_for_owners_of_programs_list_every_scope_of_an_api_key(page: str) -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == set(Scope)


def test_no_page_names_a_path_of_somebodys_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(root|work|home)/\w", page.read_text(encoding="utf-8")), page
