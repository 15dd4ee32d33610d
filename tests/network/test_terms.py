"""When validators' terms end: what the nodes say of it is what the alert asks for."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.networks import Network

pytestmark = [pytest.mark.network, pytest.mark.slow]

RULES = Path(__file__).parents[2] / "scripts" / "production" / "prometheus" / "rules.yml"
TERM = "avalanche_platformvm_time_until_unstake_subnet"
DAY_NS = 86_400 * 10**9
HOUR_NS = 3_600 * 10**9


def exported(network: Network, name: str) -> dict[str, Metric]:
    page = httpx.get(f"{network.member(name).uri}/ext/metrics", timeout=10).text
    return {family.name: family for family in text_string_to_metric_families(page)}


def test_every_metric_of_the_nodes_that_an_alert_asks_for_is_one_of_a_real_node(network: Network) -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"\bavalanche_\w+", rule["expr"])}
    assert TERM in asked
    assert asked <= exported(network, "operator").keys()


def test_the_first_five_end_within_six_hours_of_each_other_a_year_after_the_creation(network: Network) -> None:
    left = {}
    for name in network.validators.names():
        (sample,) = exported(network, name)[TERM].samples  # of one chain beside the platform's own
        left[name] = sample.value
    assert all(364 * DAY_NS < value < 365 * DAY_NS for value in left.values())
    assert list(left) == sorted(left, key=lambda name: -left[name]), "dso-1 ends last"
    assert 5.9 * HOUR_NS < max(left.values()) - min(left.values()) < 6.1 * HOUR_NS
