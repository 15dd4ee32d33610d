"""Every process of the documentation has a unit that systemd takes and that lets it do no more than it must."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.docs.test_docs import command_tree, wrong_in
from tests.production.conftest import PRODUCTION, ROOT, Run

UNITS = PRODUCTION / "systemd"
NAMES = {
    "chain": "meritgrid-validator.service",
    "broker": "mosquitto.service",
    "Mosquitto's guard": "meritgrid-broker-guard.service",
    "market": "meritgrid-market.service",
    "oracle": "meritgrid-oracle.service",
    "DSO's desk": "meritgrid-dso-desk@1.service",
    "aggregator's desk": "meritgrid-aggregator-desk.service",
    "gateway agent": "meritgrid-gateway.service",
}
"""Process of docs/operations.md → its unit; the broker's is Debian's, with a drop-in."""
MOST_EXPOSED = 15
"""Of `systemd-analyze security`, in tenths: 100 is an unprotected service."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which the units, Debian's own, and the programs are in their places."""
    folder = tmp_path / "root"
    units = folder / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for path in UNITS.glob("*.service"):
        shutil.copy(path, units)
    shutil.copytree(UNITS / "mosquitto.service.d", units / "mosquitto.service.d")
    shutil.copytree("/usr/lib/systemd/system", folder / "usr/lib/systemd/system", symlinks=True)
    if not (folder / "usr/lib/systemd/system/mosquitto.service").exists():
        (units / "mosquitto.service").write_text("[Service]\nType=notify\nExecStart=/usr/sbin/mosquitto\n")
    for program in re.findall(r"^ExecStart=(/\S+)", "\n".join(map(text_of, NAMES.values())), re.MULTILINE):
        place = folder / program.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(mode=0o755)
    for tool in ("kill", "mkdir", "chown"):  # of Debian's mosquitto.service
        place = folder / "bin" / tool
        place.parent.mkdir(exist_ok=True)
        place.touch(mode=0o755)
    return folder


def file_of(unit: str) -> Path:
    if unit == "mosquitto.service":
        return UNITS / "mosquitto.service.d" / "meritgrid.conf"
    return UNITS / unit.replace("@1.", "@.")


def text_of(unit: str) -> str:
    return file_of(unit).read_text(encoding="utf-8")


def service_of(unit: str) -> dict[str, list[str]]:
    """The section [Service]: directive → its values in order."""
    found: dict[str, list[str]] = {}
    section = text_of(unit).partition("[Service]")[2].partition("[Install]")[0]
    for line in section.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_every_process_of_the_documentation_has_a_unit() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("## Processes\n")[2].partition("\n\n")[0]
    processes = re.findall(r"^\| ([^|]+?) \| ", table, re.MULTILINE)[1:]
    assert [name for name in processes if not name.startswith("-")] == list(NAMES)
    assert {file_of(unit) for unit in NAMES.values()} == {*UNITS.glob("*.service"), *UNITS.glob("*.d/*.conf")}


@pytest.mark.parametrize("unit", NAMES.values())
def test_systemd_takes_the_unit_without_a_complaint(unit: str, root: Path, run: Run) -> None:
    done = run("systemd-analyze", "verify", f"--root={root}", "--man=no", unit)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_check_finds_a_directive_that_does_not_exist_and_a_program_that_is_missing(root: Path, run: Run) -> None:
    unit = root / "etc/systemd/system/meritgrid-market.service"
    whole = unit.read_text()
    unit.write_text(whole.replace("NoNewPrivileges=", "NoNewPrivilege="))
    assert (
        "NoNewPrivilege" in run("systemd-analyze", "verify", f"--root={root}", "--man=no", unit.name, ok=False).stderr
    )
    unit.write_text(whole.replace("/opt/meritgrid/bin/", "/opt/elsewhere/"))
    assert run("systemd-analyze", "verify", f"--root={root}", "--man=no", unit.name, ok=False).returncode != 0


@pytest.mark.parametrize("unit", NAMES.values())
def test_the_unit_exposes_the_machine_as_little_as_it_can(unit: str, root: Path, run: Run) -> None:
    rate = ["systemd-analyze", "security", "--offline=true", f"--root={root}", "--no-pager"]
    run(*rate, f"--threshold={MOST_EXPOSED}", unit)
    assert run(*rate, "--threshold=5", unit, ok=False).returncode != 0, "the check can fail"


@pytest.mark.parametrize("unit", [unit for unit in NAMES.values() if unit.startswith("meritgrid")])
def test_the_command_of_a_unit_exists_with_its_options(unit: str) -> None:
    program, *words = shlex.split(service_of(unit)["ExecStart"][-1])
    if not program.endswith("/meritgrid"):
        assert words == ["--config-file", "/var/lib/meritgrid-validator/node.json"]
        return
    assert wrong_in(words, command_tree()) is None


@pytest.mark.parametrize("unit", NAMES.values())
def test_a_unit_is_started_again_for_ever_and_not_as_root(unit: str) -> None:
    service = service_of(unit)
    assert service["Restart"] == ["always"]
    assert "StartLimitIntervalSec=0" in text_of(unit)
    assert service.get("DynamicUser") == ["yes"] or service["User"][0] != "root"
    assert service["UMask"] == ["0077"]


@pytest.mark.parametrize("unit", NAMES.values())
def test_no_unit_holds_a_secret_and_every_key_comes_from_a_file_of_roots(unit: str) -> None:
    service = service_of(unit)
    given = dict(value.split(":", 1) for value in service.get("LoadCredential", []))
    for value in service.get("Environment", []):
        name, _, setting = value.partition("=")
        if re.search("KEY|PASSWORD|SECRET|TOKEN", name):
            assert setting.startswith("%d/"), value
            assert setting.removeprefix("%d/") in given, value
    assert all(path.startswith("/etc/meritgrid/keys/") for path in given.values())


def test_the_dso_desk_has_a_home_because_pandapower_does_not_start_without_one() -> None:
    """A dynamic user has none."""
    service = service_of("meritgrid-dso-desk@1.service")
    assert service["DynamicUser"] == ["yes"]
    assert f"HOME=/var/cache/{service['CacheDirectory'][0]}" in service["Environment"]


def test_the_users_of_the_units_are_made_by_sysusers(run: Run, tmp_path: Path) -> None:
    made = set(re.findall(r"^u (\S+)", (UNITS / "sysusers.conf").read_text(encoding="utf-8"), re.MULTILINE))
    named = {service_of(unit)["User"][0] for unit in NAMES.values() if "User" in service_of(unit)}
    assert named - {"mosquitto"} == made, "Debian makes mosquitto's"
    (tmp_path / "machine" / "etc").mkdir(parents=True)
    run("systemd-sysusers", f"--root={tmp_path / 'machine'}", UNITS / "sysusers.conf")
    assert made <= set(re.findall(r"^([^:]+):", (tmp_path / "machine/etc/passwd").read_text(), re.MULTILINE))


def test_the_keys_folder_is_roots_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "machine" / "etc").mkdir(parents=True)
    (tmp_path / "machine/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n")
    (tmp_path / "machine/etc/group").write_text("root:x:0:\nadm:x:4:\nwww-data:x:33:\n")
    run("systemd-tmpfiles", "--create", f"--root={tmp_path / 'machine'}", UNITS / "tmpfiles.conf")
    assert (tmp_path / "machine/etc/meritgrid/keys").stat().st_mode & 0o777 == 0o700


def test_the_journal_is_bounded_in_size_and_time(run: Run, tmp_path: Path) -> None:
    parsed = configparser.ConfigParser()
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNITS / "journald.conf")
    journal = parsed["Journal"]
    assert journal["Storage"] == "persistent"
    assert {"SystemMaxUse", "MaxRetentionSec", "RateLimitBurst"} <= set(journal)
    # systemd itself says how it understands them.
    for name in ("MaxRetentionSec", "MaxFileSec", "RateLimitIntervalSec"):
        run("systemd-analyze", "timespan", journal[name])
