"""Dockerfiles and compose files are right in form, and no container may do more than it must.

The images are not built here: their bases come from a registry that no test may need.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from market.settings import Settings
from tests.docs.test_docs import command_tree, settings_variables, wrong_in
from tests.production.conftest import PRODUCTION, ROOT, Run

DOCKER = PRODUCTION / "docker"
DOCKERFILES = sorted(DOCKER.glob("*Dockerfile"))
COMPOSE_FILES = sorted(DOCKER.glob("compose*.yaml"))
_VALIDATE = """
const { validate } = require(process.argv[1] + "/node_modules/dockerfile-utils");
console.log(JSON.stringify(validate(require("fs").readFileSync(process.argv[2], "utf8"))));
"""
_PRODUCT = {"market", "oracle", "dso-desk", "aggregator-desk", "broker-guard", "gateway"}


def services(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
    return found


ALL_SERVICES = [(path.name, name) for path in COMPOSE_FILES for name in services(path)]


def service(file: str, name: str) -> dict[str, Any]:
    return services(DOCKER / file)[name]


def problems(run: Run, dockerfile: Path) -> list[str]:
    found = json.loads(run("node", "-e", _VALIDATE, ROOT, dockerfile).stdout)
    return [f"line {each['range']['start']['line'] + 1}: {each['message']}" for each in found]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_is_right_in_form(dockerfile: Path, run: Run) -> None:
    assert problems(run, dockerfile) == []


def test_the_check_finds_what_is_wrong_in_a_dockerfile(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM debian:12.11-slim\nRUNN true\nHEALTHCHECK --intervall=5s CMD true\nUSER\n")
    assert [text.partition(":")[0] for text in problems(run, wrong)] == ["line 2", "line 3", "line 4"]


def stages(dockerfile: Path) -> dict[str, list[str]]:
    """Name of a stage → its lines, those of the stage that it begins from before them."""
    found: dict[str, list[str]] = {}
    text = re.sub(r"\\\n", " ", dockerfile.read_text(encoding="utf-8"))
    name = ""
    for line in text.splitlines():
        begins = re.match(r"FROM (\S+)(?: AS (\S+))?$", line)
        if begins:
            name = begins[2] or "image"
            found[name] = list(found.get(begins[1], []))
        elif name and line and not line.startswith("#"):
            found[name].append(line.strip())
    return found


def images() -> list[tuple[str, str]]:
    """(Dockerfile, stage) of what is built for use."""
    targets = [("Dockerfile", target) for target in ("market", "gateway", "validator")]
    return targets + [(path.name, "image") for path in DOCKERFILES if path.name != "Dockerfile"]


@pytest.mark.parametrize(("dockerfile", "stage"), images())
def test_an_image_runs_without_root_and_says_when_it_is_ill(dockerfile: str, stage: str) -> None:
    lines = stages(DOCKER / dockerfile)[stage]
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users, "it would run as root"
    assert users[-1].partition(":")[0] not in {"root", "0"}
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    assert not any(line.startswith("ADD ") for line in lines), "COPY takes what is here; nothing is fetched by ADD"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_every_base_is_of_a_stated_version(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    [base] = re.findall(r"^ARG DEBIAN=(\S+)", text, re.MULTILINE)
    assert re.fullmatch(r"debian:12\.\d+-slim", base)
    known = {"${DEBIAN}", *stages(dockerfile)}
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= known


def test_python_packages_come_by_locks_with_their_hashes() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    for arguments in re.findall(r"pip install ([^\n&\\]+)", text):
        assert "--require-hashes" in arguments or "--no-deps /wheels/" in arguments, arguments


def test_what_the_images_are_made_of_is_sent_to_the_builder_and_nothing_else() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+)$", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    folders = {path for line in copied for path in line.split()[:-1]}
    assert {path for path in folders if not any(path.startswith(f"{other}/") for other in folders)} == allowed
    for path in allowed:
        assert (ROOT / path).exists(), path


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder of the compose files as it is on a machine: with settings and secrets in their places."""
    folder = tmp_path / "scripts" / "production"
    shutil.copytree(PRODUCTION, folder)
    (folder / "docker" / "config").mkdir()
    for settings in (folder / "environment").glob("*.env"):
        shutil.copy(settings, folder / "docker" / "config")
    (folder / "docker" / ".env").write_text("MARKET_NAME=your.name\n")
    return folder / "docker"


@pytest.mark.parametrize("file", [path.name for path in COMPOSE_FILES])
def test_compose_takes_the_file(file: str, installed: Path, run: Run) -> None:
    resolved = yaml.safe_load(run("docker-compose", "-f", installed / file, "config").stdout)
    assert resolved["services"].keys() == services(DOCKER / file).keys()


def test_the_check_finds_what_is_wrong_in_a_compose_file(installed: Path, run: Run) -> None:
    text = (installed / "compose.yaml").read_text()
    for right, wrong in (("read_only: true", "readonly: true"), ("cap_drop: [ALL]", "cap_drop: ALL")):
        assert right in text
        (installed / "compose.yaml").write_text(text.replace(right, wrong, 1))
        assert run("docker-compose", "-f", installed / "compose.yaml", "config", ok=False).returncode != 0, wrong


@pytest.mark.parametrize("file", [path.name for path in COMPOSE_FILES])
def test_what_a_service_refers_to_is_declared(file: str) -> None:
    document = yaml.safe_load((DOCKER / file).read_text(encoding="utf-8"))
    for name, found in document["services"].items():
        assert set(found.get("networks", [])) <= document.get("networks", {}).keys(), name
        assert set(found.get("secrets", [])) <= document.get("secrets", {}).keys(), name
        assert set(found.get("depends_on", [])) <= document["services"].keys(), name
        volumes = {volume.partition(":")[0] for volume in found.get("volumes", [])}
        assert {volume for volume in volumes if volume[0] not in "./"} <= document.get("volumes", {}).keys(), name


@pytest.mark.parametrize(("file", "name"), ALL_SERVICES)
def test_a_container_is_read_only_without_rights_and_bounded(file: str, name: str) -> None:
    found = service(file, name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "cap_add" not in found
    assert "privileged" not in found
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["pids_limit"]
    assert found["mem_limit"]
    assert found["restart"] == "unless-stopped"
    assert {"max-size", "max-file"} <= found["logging"]["options"].keys(), "its log is rotated"
    assert found["healthcheck"]["test"][0] == "CMD"
    assert all("nosuid" in mount and "nodev" in mount for mount in found["tmpfs"])
    assert "docker.sock" not in str(found)
    image = found["image"]
    assert re.search(r":\d+\.\d+", image), f"{image} is no stated version"
    assert found.get("build") or str(found["user"]).partition(":")[0] not in {"0", "root"}


@pytest.mark.parametrize(("file", "name"), ALL_SERVICES)
def test_secrets_come_as_files_and_stand_in_no_environment(file: str, name: str) -> None:
    found = service(file, name)
    given = set(found.get("secrets", []))
    for variable, value in found.get("environment", {}).items():
        if re.search("KEY|PASS|SECRET|TOKEN", variable):
            assert str(value).removeprefix("/run/secrets/") in given, f"{variable}={value}"
    declared = yaml.safe_load((DOCKER / file).read_text(encoding="utf-8")).get("secrets", {})
    assert given <= declared.keys()
    assert all(secret.keys() == {"file"} for secret in declared.values())


@pytest.mark.parametrize(("file", "name"), [pair for pair in ALL_SERVICES if pair[1] in _PRODUCT - {"gateway"}])
def test_the_command_of_a_container_exists_with_its_options(file: str, name: str) -> None:
    assert wrong_in(service(file, name)["command"], command_tree()) is None


def test_every_setting_of_the_examples_and_the_compose_files_is_one_that_the_product_reads() -> None:
    known = {*settings_variables(Settings), "MERITGRID_MARKET_URL", "MERITGRID_KEY_FILE", "MERITGRID_METRICS_PORT"}
    known |= {"MERITGRID_METRICS_HOST"}
    texts = [path.read_text(encoding="utf-8") for path in (PRODUCTION / "environment").glob("*.env")]
    texts += [path.read_text(encoding="utf-8") for path in [*COMPOSE_FILES, *DOCKERFILES]]
    named = set(re.findall(r"\b(MERITGRID_[A-Z0-9_]+)\b", "\n".join(texts)))
    assert len(named) > 15
    assert named <= known


@pytest.mark.parametrize("name", ["market", "oracle"])
def test_the_settings_take_the_example_as_it_is(name: str, tmp_path: Path) -> None:
    settings = Settings(_env_file=PRODUCTION / "environment" / f"{name}.env")  # type: ignore[call-arg]
    assert settings.database.startswith("postgresql+psycopg://")
    assert settings.chain_profile == "network"
    assert settings.mqtt.tls
    assert settings.mqtt.ca_file is not None, "of the market: gateways are told to trust it; of the oracle: it does"


def built(run: Run, dockerfile: str, source: Path, place: str, **arguments: str) -> str:
    """A configuration as a Dockerfile's commands make it of ours; place: where it has it."""
    [command] = [line for line in stages(DOCKER / dockerfile)["image"] if line.startswith("RUN ") and place in line]
    settings = "".join(f"{name}={value}\n" for name, value in arguments.items())
    command = command.removeprefix("RUN ").replace(place, str(source)).partition("&& printf ")[0].rstrip(" &")
    run("bash", "-euc", f"{settings}{command}")
    return source.read_text(encoding="utf-8")


@pytest.mark.parametrize("elsewhere", [{}, {"VALIDATOR": "192.0.2.1:9650", "ALERTMANAGER": "192.0.2.2:9093"}])
def test_prometheus_asks_the_containers_and_who_is_named_and_nobody_else(
    elsewhere: dict[str, str], run: Run, tmp_path: Path
) -> None:
    for file in ("prometheus.yml", "rules.yml"):
        shutil.copy(PRODUCTION / "prometheus" / file, tmp_path)
    arguments = {"VALIDATOR": "", "ALERTMANAGER": "", **elsewhere}
    place = "/etc/prometheus/prometheus.yml"
    config = yaml.safe_load(built(run, "prometheus.Dockerfile", tmp_path / "prometheus.yml", place, **arguments))
    hosts = {
        target for job in config["scrape_configs"] for group in job["static_configs"] for target in group["targets"]
    }
    managers = {
        target
        for manager in config.get("alerting", {}).get("alertmanagers", [])
        for group in manager["static_configs"]
        for target in group["targets"]
    }
    inside = {host for host in hosts if host.partition(":")[0] in services(DOCKER / "compose.yaml")}
    assert len(inside) == 5
    assert (hosts - inside) | managers == set(elsewhere.values())


def test_the_proxy_answers_to_the_markets_own_name(run: Run, installed: Path, tmp_path: Path) -> None:
    shutil.copy(PRODUCTION / "nginx" / "meritgrid.conf", tmp_path)
    place = "/etc/nginx/conf.d/meritgrid.conf"
    text = built(run, "proxy.Dockerfile", tmp_path / "meritgrid.conf", place, MARKET_NAME="your.name")
    assert {name for names in re.findall(r"server_name ([^;]+);", text) for name in names.split()} == {"your.name"}
    assert set(re.findall(r"ssl_certificate(?:_key)? (\S+)/", text)) == {"/etc/letsencrypt/live/your.name"}
    resolved = yaml.safe_load(run("docker-compose", "-f", installed / "compose.yaml", "config").stdout)
    assert "/etc/letsencrypt/live/your.name" in str(resolved["services"]["proxy"]["volumes"])
    (installed / ".env").unlink()
    refused = run("docker-compose", "-f", installed / "compose.yaml", "config", ok=False)
    assert "the market's name" in refused.stderr
