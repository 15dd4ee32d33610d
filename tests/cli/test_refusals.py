"""With --json a refusal is one problem document on standard output, whoever refuses; without it only words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from market import cli, cli_session
from market.domain.enrolment_code import EnrolmentCode
from market.domain.problems import PROBLEM_TYPE
from market.domain.signing import new_private_key
from market.settings import write_private_key
from tests.chain.world import nanogrid
from tests.cli.conftest import Answer, Room, Run
from tests.gateway_agent.world import nanogrid_file

NOBODY = "http://127.0.0.1:9"
OFFER = "0x" + "ab" * 32
SIGN = ("bid", "sign", "--offer", OFFER, "--nanogrid", "1", "--quantity", "1", "--key-file", "own.key")
DESK = ("aggregator", "run", "--key-file", "own.key", "--market", NOBODY)
ENROL = ("gateway", "enrol", "--data", "house")

REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no such command": (("nothing",), "wrong-usage"),
    "an option that is missing": (("account", "deposit"), "wrong-usage"),
    "a value of the wrong kind": (("account", "deposit", "--amount", "much"), "wrong-usage"),
    "options that contradict each other": (("broker", "account"), "wrong-value"),
    "a key file that is not there": (("account", "address", "--key-file", "none.key"), "wrong-setting"),
    "a key that others may read": (("account", "show", "--key-file", "open.key"), "wrong-setting"),
    "a key file that is there already": (("account", "new-key", "own.key"), "wrong-file"),
    "a market that does not answer": (("offer", "list", "--market", NOBODY), "market-unreachable"),
    "facts of a market that does not answer": ((*SIGN, "--price", "1", "--facts", NOBODY), "market-unreachable"),
    "a file that is no JSON": ((*SIGN, "--price", "1", "--facts", "own.key"), "wrong-value"),
    "a forecast that is not there": (("grid", "check", "none.json"), "wrong-file"),
    "a desk without its key": (("aggregator", "run", "--key-file", "none.key", "--market", NOBODY), "wrong-setting"),
    "a desk with a wrong keystore": ((*DESK, "--password-file", "own.key"), "wrong-setting"),
    "an oracle without a forecast": (("oracle", "serve", "--forecast-file", "none.json"), "cannot-start"),
    "a market without a chain": (("market", "serve"), "cannot-start"),
    "a rebuilding without a chain": (("market", "reindex"), "cannot-start"),
    "a key in a folder that is not there": (("account", "new-key", "no/own.key"), "wrong-file"),
    "a guard of no broker": (("broker", "guard", "--folder", "house"), "cannot-start"),
    "a gateway that is not there": (("gateway", "run", "--data", "nowhere"), "wrong-file"),
    "contracts of a chain that does not answer": (("market", "verify-deployment"), "wrong-setting"),
    "a folder that is no gateway's": (("gateway", "status", "--data", "."), "wrong-setting"),
    "a stop of no gateway": (("gateway", "stop", "--data", "."), "wrong-setting"),
    "a mistyped code": (
        ("gateway", "enrol", "--code", "x", "--market", NOBODY, "--data", "house"),
        "malformed-enrolment-code",
    ),
    "hours that are none": (("demo", "--hours", "late"), "cannot-start"),
}


def _install(folder: Path) -> None:
    """What an installer writes before the enrolment."""
    folder.mkdir()
    (folder / "gateway.toml").write_text("[driver]\nfamily = 'simulated'\nprofile = 'plant.json'\n")
    nanogrid_file(folder / "plant.json")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`meritgrid` by its own entry, in a folder with a good key and one that others may read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_session, "PATIENCE_S", 0.0)
    monkeypatch.setenv("MERITGRID_RPC_URL", NOBODY)
    for name in ("own.key", "open.key"):
        write_private_key(tmp_path / name, new_private_key())
    (tmp_path / "open.key").chmod(0o644)
    _install(tmp_path / "house")

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["meritgrid", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_is_one_problem_document_on_demand(run: Callable[..., Answer], what: str) -> None:
    arguments, code = REFUSED[what]
    refused = run(*arguments, "--json")
    assert refused.code == 2
    assert refused.document["type"] == PROBLEM_TYPE + code
    assert refused.document["title"]
    assert refused.document["detail"]
    assert refused.err.strip(), "people are told too"


@pytest.mark.parametrize("what", REFUSED)
def test_without_json_a_refusal_leaves_standard_output_to_results(run: Callable[..., Answer], what: str) -> None:
    refused = run(*REFUSED[what][0])
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.strip()
    for inner in ("[Errno", "Traceback", "Max retries", "ConnectionPool", "sqlalche"):
        assert inner not in refused.err, "what libraries say is no sentence for people"


DATABASE_COMMANDS = [
    ("market", "serve"),
    ("market", "migrate"),
    ("market", "reindex"),
    ("broker", "guard"),
    ("broker", "account", "--password-file", "new"),
]


@pytest.mark.parametrize("arguments", DATABASE_COMMANDS, ids=" ".join)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MERITGRID_DATABASE_URL", "postgresql+psycopg://market:secret@127.0.0.1:9/market")
    refused = run(*arguments)
    assert refused.code == 2
    assert "database postgresql+psycopg://market:***@127.0.0.1:9/market cannot be used" in refused.err
    assert "Connection refused" in refused.err
    assert "MERITGRID_DATABASE_URL" in refused.err
    assert not {"secret", "Traceback"} & set(refused.err.replace(":", " ").split())


def test_a_command_that_succeeds_prints_its_document_and_ends_with_0(run: Callable[..., Answer]) -> None:
    shown = run("account", "address", "--key-file", "own.key", "--json")
    assert (shown.code, set(shown.document)) == (0, {"address"})


def test_the_markets_own_problem_is_passed_on_as_it_is(room: Room, meritgrid: Run, tmp_path: Path) -> None:
    unknown = meritgrid("offer", "show", OFFER, "--market", room.url, "--json")
    assert unknown.code == 2
    assert (unknown.document["type"], unknown.document["status"]) == (PROBLEM_TYPE + "unknown-offer", 404)

    _install(tmp_path / "house")
    code = EnrolmentCode.new(nanogrid(0)).text
    refused = meritgrid(
        "gateway", "enrol", "--code", code, "--market", room.url, "--data", tmp_path / "house", "--json"
    )
    assert (refused.code, refused.document["status"]) == (2, 403)
    assert refused.document["type"] == PROBLEM_TYPE + "enrolment-unknown"


def test_a_command_whose_libraries_are_not_installed_says_which(tmp_path: Path) -> None:
    """A gateway's board has not the libraries of the market; its owner should not search for a mistyped command."""
    program = "import sys; sys.modules['orjson'] = None; from market.cli import main; main()"
    command = [sys.executable, "-c", program, "account", "new-key", "x.key", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    problem = json.loads(done.stdout)
    assert problem["type"] == PROBLEM_TYPE + "not-installed"
    assert "orjson" in problem["detail"]
    assert "meritgrid[market]" in done.stderr
