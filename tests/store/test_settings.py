"""Settings: where they come from, and that secrets are read only from files of their owner alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account

from market.clock import SystemClock
from market.domain.signing import address_of, new_private_key
from market.settings import ChainProfile, KeySource, Settings, SettingsError, load_private_key, read_secret


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_sets_nested_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MERITGRID_CHAIN_PROFILE", "network")
    monkeypatch.setenv("MERITGRID_API__PORT", "9000")
    monkeypatch.setenv("MERITGRID_RELAYER_KEY__FILE", str(tmp_path / "relayer.key"))
    monkeypatch.setenv("MERITGRID_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert settings.chain_profile is ChainProfile.NETWORK
    assert settings.api.port == 9000
    assert settings.relayer_key.file == tmp_path / "relayer.key"
    assert settings.database == f"sqlite:///{tmp_path / 'meritgrid.sqlite'}"
    assert settings.deployment_path == tmp_path / "deployments" / "31337.json"
    assert isinstance(settings.open_clock(), SystemClock)


def test_a_key_file_is_read(tmp_path: Path) -> None:
    key = new_private_key()
    source = KeySource(file=secret_file(tmp_path / "key", f"0x{key.hex()}\n"))
    assert load_private_key(source) == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    source = KeySource(file=secret_file(tmp_path / "key", new_private_key().hex(), mode))
    with pytest.raises(SettingsError, match="chmod 600"):
        load_private_key(source)


@pytest.mark.parametrize("text", ["", "no hex", "0x1234"])
def test_a_file_without_a_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    source = KeySource(file=secret_file(tmp_path / "key", text))
    with pytest.raises(SettingsError) as refusal:
        load_private_key(source)
    assert text == "" or text not in str(refusal.value)


def test_an_encrypted_keystore_opens_with_its_password_only(tmp_path: Path) -> None:
    key = new_private_key()
    keystore = Account.encrypt(key, "right", kdf="pbkdf2", iterations=2)
    file = secret_file(tmp_path / "keystore.json", json.dumps(keystore))
    right = KeySource(file=file, password_file=secret_file(tmp_path / "right", "right\n"))
    wrong = KeySource(file=file, password_file=secret_file(tmp_path / "wrong", "wrong"))
    assert address_of(load_private_key(right)) == address_of(key)
    with pytest.raises(SettingsError, match="no keystore that this password opens"):
        load_private_key(wrong)


def test_the_environments_key_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = new_private_key()
    monkeypatch.setenv("MERITGRID_ORACLE_KEY__HEX", key.hex())
    monkeypatch.setenv("MERITGRID_ORACLE_KEY__FILE", str(tmp_path / "missing"))
    settings = Settings()
    assert load_private_key(settings.oracle_key) == key
    assert key.hex() not in repr(settings)


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no private key is set"):
        load_private_key(KeySource())
    with pytest.raises(SettingsError, match="missing cannot be read"):
        read_secret(tmp_path / "missing")


@pytest.mark.parametrize("profile", ["network", "rpc"])
def test_only_the_embedded_chain_has_simulated_time(profile: str) -> None:
    with pytest.raises(
        ValueError, match=rf"clock 'simulated:127.0.0.1:9000' is for the embedded chain only.*{profile}"
    ):
        Settings(chain_profile=profile, clock="simulated:127.0.0.1:9000")


def test_what_systemd_hands_over_may_show_the_mask_of_its_access_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """systemd gives a service's user its right by an access list: stat shows its mask as mode 440."""
    handed = secret_file(tmp_path / "relayer.key", "secret", 0o440)
    with pytest.raises(SettingsError, match="mode 440"):
        read_secret(handed)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(handed) == "secret"
    for mode in (0o460, 0o444):
        with pytest.raises(SettingsError, match=f"mode {mode:o}"):
            read_secret(secret_file(tmp_path / "relayer.key", "secret", mode))
    with pytest.raises(SettingsError, match="mode 440"):
        read_secret(secret_file(tmp_path.parent / f"{tmp_path.name}.key", "secret", 0o440))
