"""The alerts and the dashboard look at what the processes really export, and every alert says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.test_docs import _anchor
from tests.production.conftest import PRODUCTION, ROOT, Run, Running

RULES = PRODUCTION / "prometheus" / "rules.yml"
CONFIG = PRODUCTION / "prometheus" / "prometheus.yml"
DASHBOARD = PRODUCTION / "grafana" / "meritgrid.json"
UNIT_TESTS = Path(__file__).parent / "alerts.test.yml"
PROMETHEUS_OWN = {"up"}
# Those of the validators' nodes: tests/network/test_terms.py.
_METRIC = re.compile(r"\b(meritgrid_\w+|process_\w+|up)\b")
_VARIABLES = {"$__rate_interval": "5m", "$node": ".*"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def queries() -> Iterator[str]:
    """What the dashboard asks, with Grafana's variables filled in as Grafana does."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in _VARIABLES.items():
                expression = expression.replace(variable, value)
            yield expression


@pytest.fixture(scope="session")
def families(running: Running) -> list[Metric]:
    """What the processes export."""
    pages = [httpx.get(page, timeout=10).text for page in running.metrics.values()]
    return [family for page in pages for family in text_string_to_metric_families(page)]


@pytest.fixture(scope="session")
def exported(families: list[Metric]) -> set[str]:
    """Names of all series that the processes export."""
    names = set(PROMETHEUS_OWN)
    for family in families:
        names |= {sample.name for sample in family.samples}
        names |= {family.name + suffix for suffix in _SUFFIXES[family.type]}
    return names


_SUFFIXES = {
    "counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"],
    "summary": ["_count", "_sum"], "unknown": [""],
}  # fmt: skip


def test_promtool_takes_the_configuration_and_the_rules(run: Run) -> None:
    assert f"{len(rules())} rules found" in run("promtool", "check", "rules", RULES).stdout
    run("promtool", "check", "config", CONFIG)


def test_every_alert_fires_on_what_it_is_for_and_not_before(run: Run) -> None:
    run("promtool", "test", "rules", UNIT_TESTS)
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts, "and each one is quiet once"


def test_every_alert_says_how_grave_it_is_and_where_it_stands_what_to_do() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {f"docs/operations.md#{_anchor(heading)}" for heading in headings}
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["runbook"] in anchors, rule["alert"]


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
def test_every_metric_of_a_rule_is_exported_by_a_real_process(exported: set[str]) -> None:
    asked = {name for rule in rules() for name in _METRIC.findall(rule["expr"])}
    assert len(asked) > 10
    assert asked <= exported


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
def test_every_label_of_a_rule_is_one_that_its_metric_has(families: list[Metric]) -> None:
    """A label that nobody sets makes an alert that never fires, and no checker says so."""
    labels: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            # Prometheus adds the target's own, and gives way to them with the process's `job`.
            own = {"exported_job" if name == "job" else name for name in sample.labels}
            labels.setdefault(sample.name, {"job", "instance"}).update(own)
    checked = 0
    for rule in rules():
        metrics = [name for name in _METRIC.findall(rule["expr"]) if name.startswith("meritgrid_")]
        named = {label for group in re.findall(r"by \(([^)]+)\)", rule["expr"]) for label in group.split(", ")}
        named |= {
            label for group in re.findall(r"{([^}]+)}", rule["expr"]) for label in re.findall(r"(\w+)[!=]", group)
        }
        named |= set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        for metric in metrics:
            assert named <= labels[metric], f"{rule['alert']}: {metric} has {labels[metric]}"
            checked += 1
    assert checked > 15


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
def test_every_metric_of_the_dashboard_is_exported_by_a_real_process(exported: set[str]) -> None:
    asked = {name for query in queries() for name in _METRIC.findall(query)}
    assert len(asked) > 15
    assert asked <= exported


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
def test_every_job_that_an_alert_names_is_scraped_where_the_units_serve_it(running: Running) -> None:
    scraped = {job["job_name"] for job in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["scrape_configs"]}
    named = {
        job for rule in rules() for jobs in re.findall(r'job=~?"([^"]+)"', rule["expr"]) for job in jobs.split("|")
    }
    assert named <= scraped
    assert running.metrics.keys() <= scraped


def test_the_dashboards_queries_are_promql(run: Run, tmp_path: Path) -> None:
    asked = [{"record": f"query_{place}", "expr": query} for place, query in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}))
    assert f"{len(asked)} rules found" in run("promtool", "check", "rules", tmp_path / "queries.yml").stdout


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    """What Grafana's provisioning needs: a title, an id of its own, panels with distinct ids that do not overlap."""
    board = dashboard()
    assert board["uid"]
    assert board["title"]
    assert "id" not in board, "Grafana gives it"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "node"}
