"""How schemathesis is run over a populated market: as whom, with which names of real objects, and what it checks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from market.domain.signing import address_of
from tests.security.principals import Caller
from tests.security.town import BIDDING, COMMANDED, OFFERABLE, REASON, SETTLED, VERDICT, Town

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = ROOT / ".venv-security" / "bin" / "schemathesis"
SEED: Final = 20261122
CHECKS: Final = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "ignored_auth",
)  # fmt: skip
"""All but those that take a chain of calls for one object's life: nothing is ever deleted here. Positive data is
refused by right where the market is in another state, so that its acceptance is no rule."""
ENDLESS: Final = "/v1/stream"
"""Its answers never end: test_fuzz.py asks it by itself."""
_KNOWN_OFTEN: Final = 0.7
_KNOWN_SOMETIMES: Final = 0.2
_TIME_LIMIT_S: Final = 3600


def known_names(town: Town) -> dict[str, list[int | str]]:
    """Names of objects that there are, by the parameter that takes them."""
    quarters, seats = town.quarters, (0, 1)
    return {
        "node": [quarter.node for quarter in quarters],
        "portfolio": [quarter.portfolio for quarter in quarters],
        "nanogrid": [quarter.nanogrid(index) for quarter in quarters for index in seats],
        "offer": [offer for quarter in quarters for offer in quarter.offers.values()],
        "request": [request for quarter in quarters for request in quarter.requests.values()],
        "digest": [digest for quarter in quarters for digest in quarter.digests.values()],
        "account": [address_of(key) for quarter in quarters for key in (quarter.dso, *quarter.owners)],
        "interval": [SETTLED, COMMANDED, VERDICT, BIDDING, OFFERABLE],
        "ordinal": [0, 1, 2],
        "key_id": [*town.api_keys.values()],
        "first": [SETTLED, VERDICT],
        "last": [SETTLED, VERDICT],
    }


def configuration(town: Town) -> str:
    """A schemathesis.toml in which real names stand often in paths and queries, and sometimes in bodies."""
    names = known_names(town)
    integers = sorted({value for values in names.values() for value in values if isinstance(value, int)})
    texts = sorted({value for values in names.values() for value in values if isinstance(value, str)})
    dictionaries = names | {"integers": integers, "texts": [*texts, json.dumps(REASON)]}
    return "\n".join([*_dictionaries(dictionaries), *_parameters(names), *_by_type()]) + "\n"


def _dictionaries(dictionaries: dict[str, list[int | str]]) -> Iterator[str]:
    for name, values in dictionaries.items():
        yield f"[dictionaries.{name}]\nvalues = {json.dumps(values)}"


def _parameters(names: dict[str, list[int | str]]) -> Iterator[str]:
    yield "[parameters]"
    for name in names:
        for place in ("path", "query"):
            yield f'"{place}.{name}" = {{ dictionary = "{name}", probability = {_KNOWN_OFTEN} }}'


def _by_type() -> Iterator[str]:
    yield "[generation.dictionaries]"
    for kind, name in (("integer", "integers"), ("string", "texts")):
        yield f'{kind} = {{ dictionary = "{name}", probability = {_KNOWN_SOMETIMES} }}'


def fuzz(town: Town, caller: Caller, folder: Path, examples: int, phases: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis as a caller; its report is what it printed."""
    file = folder / "schemathesis.toml"
    file.write_text(configuration(town), encoding="utf-8")
    signed_in = [option for name, value in caller.headers.items() for option in ("-H", f"{name}: {value}")]
    command = [
        str(PROGRAM), "--config-file", str(file), "run", f"{town.room.url}/openapi.json", *signed_in,
        "--exclude-path", ENDLESS, "--checks", ",".join(CHECKS), "--phases", phases,
        "--max-examples", str(examples), "--seed", str(SEED), "--generation-database", "none",
        "--continue-on-failure", "--request-timeout", "30", "--suppress-health-check", "all", "--no-color",
        "--warnings", "off",
    ]  # fmt: skip
    # Of this machine nothing but PATH: a proxy of the environment is not for a server on this machine.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "120"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
    )
