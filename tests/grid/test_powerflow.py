"""The node's network and its power flow, compared with pandapower used plainly."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pandapower as pp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.grid.network import GridDataError, Network, load_network, network_of
from market.grid.powerflow import Injection, PowerFlow, with_changes
from scripts.demo.extract import Extract

POWERS = st.lists(st.tuples(st.integers(-30_000, 30_000), st.integers(-6_000, 6_000)), min_size=14, max_size=14)


def _plainly(network: Network, injections: dict[int, Injection]) -> pp.pandapowerNet:
    net = deepcopy(network.net)
    for bus, injection in injections.items():
        pp.create_load(net, bus, p_mw=injection.p_w / 1e6, q_mvar=injection.q_var / 1e6)
    pp.runpp(net, tolerance_mva=1e-12)  # the reference itself adds no error
    return net


@given(POWERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_reused_network_gives_what_a_fresh_one_gives(
    network: Network, power_flow: PowerFlow, powers: list[tuple[int, int]]
) -> None:
    injections = {bus: Injection(*power) for bus, power in zip(network.buses, powers, strict=True)}
    state, net = power_flow.solve(injections), _plainly(network, injections)
    # A tenth of a watt is 6e-5 % of 160 kVA.
    assert state.transformer_loading_percent == pytest.approx(net.res_trafo.loading_percent[0], abs=1e-4)
    assert state.transformer_p_w == pytest.approx(net.res_trafo.p_hv_mw[0] * 1e6, abs=0.1)
    assert state.transformer_q_var == pytest.approx(net.res_trafo.q_hv_mvar[0] * 1e6, abs=0.1)
    assert state.vm_pu == pytest.approx({bus: net.res_bus.vm_pu[bus] for bus in network.buses}, abs=1e-8)


def test_equal_injections_give_bit_equal_results_whatever_was_solved_before(
    network: Network, power_flow: PowerFlow, exporting: dict[int, Injection], importing: dict[int, Injection]
) -> None:
    first = power_flow.solve(exporting)
    power_flow.solve(importing)
    assert power_flow.solve(exporting) == first
    assert PowerFlow(network).solve(exporting) == first


def test_a_state_without_solution_is_reported_and_leaves_no_trace(
    network: Network, power_flow: PowerFlow, exporting: dict[int, Injection]
) -> None:
    before = power_flow.solve(exporting)
    impossible = power_flow.solve({bus: Injection(5e6) for bus in network.buses})
    assert not impossible.converged
    assert impossible.worst_element is None
    assert power_flow.solve(exporting) == before


def test_import_is_positive_and_export_negative(
    power_flow: PowerFlow, exporting: dict[int, Injection], importing: dict[int, Injection]
) -> None:
    assert power_flow.solve(exporting).transformer_p_w < 0 < power_flow.solve(importing).transformer_p_w


def test_a_bus_that_is_not_named_draws_nothing(power_flow: PowerFlow, network: Network) -> None:
    assert power_flow.solve({}) == power_flow.solve({bus: Injection() for bus in network.buses})
    with pytest.raises(KeyError):
        power_flow.solve({999: Injection(1)})


def test_changes_add_to_what_a_bus_draws() -> None:
    assert with_changes({1: Injection(5, 2)}, {1: -3, 2: 7}) == {1: Injection(2, 2), 2: Injection(7)}


def test_another_rating_of_the_transformer_changes_its_loading(rural: Extract, exporting: dict[int, Injection]) -> None:
    larger = load_network(rural.grid_path, transformer_kva=400)
    assert larger.transformer_kva == 400
    assert PowerFlow(larger).solve(exporting).transformer_loading_percent < 60


def test_the_network_names_its_elements_and_keeps_the_buses_of_the_loads(network: Network, rural: Extract) -> None:
    assert network.elements["transformer:0"] == "MV1.101-LV1.101-Trafo 1"
    assert network.load_buses == {load.index: load.bus for load in rural.loads}
    assert len(network.net.load) == 0
    assert 0 not in network.buses  # the medium-voltage side


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}'])
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "grid.json"
    path.write_text(content)
    with pytest.raises(GridDataError):
        load_network(path)


def test_a_grid_without_transformer_and_a_rating_of_zero_are_refused(tmp_path: Path, network: Network) -> None:
    with pytest.raises(GridDataError, match="needs a transformer"):
        network_of(pp.create_empty_network())
    with pytest.raises(GridDataError, match="must be positive"):
        network_of(network.net, transformer_kva=0)
    with pytest.raises(GridDataError):
        load_network(tmp_path / "missing.json")


_WITHOUT_NEW_CODE = """
import ctypes, sys
from pathlib import Path
from market.grid.network import load_network
from market.grid.powerflow import Injection, PowerFlow
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit("this kernel (before 6.3) cannot refuse memory that becomes code")
network = load_network(Path(sys.argv[1]))
assert PowerFlow(network).solve({bus: Injection(3_000, 100) for bus in network.buses}).converged
"""


def test_it_solves_where_no_memory_may_become_code(rural: Extract) -> None:
    """As the desk's unit has it (MemoryDenyWriteExecute): a solver that compiles itself would die there."""
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NEW_CODE, str(rural.grid_path)], capture_output=True, text=True, check=False
    )
    if "before 6.3" in ended.stderr:
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 0, ended.stderr
