"""What does not log to the journal is rotated, and the process writes on in the new file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.production.conftest import PRODUCTION, Run
from tests.production.proxy import nginx

ROTATION = PRODUCTION / "logrotate" / "meritgrid"
NGINX = PRODUCTION / "nginx" / "meritgrid.conf"
LOGROTATE = "/usr/sbin/logrotate"


def test_logrotate_takes_the_file_and_it_names_where_nginx_writes(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "meritgrid"
    own.write_text(ROTATION.read_text(encoding="utf-8"))
    own.chmod(0o644)
    said = run(LOGROTATE, "-d", own).stderr
    assert "error" not in said
    assert "rotating pattern: /var/log/nginx/meritgrid/*.log" in said
    assert "access_log /var/log/nginx/meritgrid/access.log" in NGINX.read_text(encoding="utf-8")
    own.write_text(ROTATION.read_text(encoding="utf-8").replace("daily", "dayly"))
    assert "dayly" in run(LOGROTATE, "-d", own, ok=False).stderr, "the check can fail"


@pytest.mark.alone
@pytest.mark.processes
def test_after_a_rotation_nginx_writes_on_in_a_new_file_and_no_line_is_lost(
    run: Run, tmp_path: Path, free_port: int
) -> None:
    with nginx(tmp_path, f"127.0.0.1:{free_port}") as proxy, proxy.client() as client:
        log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
        client.get("/before")
        written(log, "/before")
        own = tmp_path / "meritgrid"
        text = ROTATION.read_text(encoding="utf-8").replace("/var/log/nginx/meritgrid/*.log", str(log))
        text = text.replace("/run/nginx.pid", str(tmp_path / "nginx.pid")).replace("create 0640 www-data adm", "create")
        own.write_text(text)
        own.chmod(0o644)
        tmp_path.chmod(0o755)
        inode = log.stat().st_ino
        run(LOGROTATE, "--force", "--state", tmp_path / "state", own)
        assert rotated.stat().st_ino == inode
        client.get("/after")
        written(log, "/after")
        assert "/before" in rotated.read_text()
        assert "/before" not in log.read_text()


def written(log: Path, text: str) -> None:
    """Wait until nginx has written a text."""
    deadline = time.monotonic() + 10
    while text not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline, f"{text} is not in {log}"
        time.sleep(0.05)
