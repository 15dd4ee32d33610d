"""Exports a SimBench low-voltage grid and chosen days as an extract that the demonstration can play.

Needs the extra `extract` (simbench, about 400 MB); the product itself does not.

    python -m scripts.demo.extract_simbench 1-LV-rural1--2-sw OUT --day 2016-05-20="PV day" --day 2016-03-02=evening@63
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandapower as pp
import typer

from scripts.demo.extract import (
    EXTRACT_FORMAT,
    STEPS_PER_DAY,
    ExtractDay,
    ExtractLoad,
    ExtractPlant,
    ExtractStorage,
    day_start_s,
    read_extract,
)
from scripts.demo.scenario import ScenarioOptions, as_published, build_scenario, congestion_figures, without_market

UTC_OFFSET_H: Final = 1
SIMBENCH_YEAR: Final = 2016
STEP_S: Final = 900
TABLES_KEPT: Final = ("bus", "load", "line", "trafo", "switch", "ext_grid")
_UNUSED_COLUMNS: Final = ("geo", "subnet", "substation", "profile", "coords")


def _parse_day(text: str) -> tuple[date, str, float | None]:
    """`2016-03-02=label@63` → date, label, suggested rating of the transformer [kVA]."""
    day_text, _, rest = text.partition("=")
    label, _, kva = rest.partition("@")
    try:
        day = date.fromisoformat(day_text)
        rating = float(kva) if kva else None
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not DATE=LABEL or DATE=LABEL@KVA: {error}") from error
    if day.year != SIMBENCH_YEAR:
        raise typer.BadParameter(f"{day} is not in SimBench's year {SIMBENCH_YEAR}")
    return day, label or day_text, rating


def export(
    code: str,
    out: Annotated[Path, typer.Argument(help="Folder that is made or written over.")],
    day: Annotated[list[str], typer.Option(help="DATE=LABEL or DATE=LABEL@KVA, a day of 2016; several times.")],
) -> None:
    """Writes grid.json, profiles.csv.gz, extract.json, congestion.json and SOURCE.md for one grid."""
    import simbench  # here, so that --help needs no 400 MB

    days = [_parse_day(text) for text in day]
    try:
        net = simbench.get_simbench_net(code)
    except (ValueError, KeyError, IndexError) as error:
        raise typer.BadParameter(f"{code} is no SimBench code such as 1-LV-rural1--2-sw: {error}") from error
    if len(net.trafo) != 1:
        raise typer.BadParameter(f"{code} has {len(net.trafo)} transformers; a low-voltage grid with one is needed")
    absolute = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    storage_pv = _storage_pv(net)
    out.mkdir(parents=True, exist_ok=True)
    extract_days = [_extract_day(*item) for item in days]
    _write_profiles(out / "profiles.csv.gz", net, absolute, storage_pv, extract_days)
    (out / "extract.json").write_text(json.dumps(_extract_json(code, net, extract_days), indent=1) + "\n")
    pp.to_json(_slim(net), str(out / "grid.json"))
    figures = _figures(out, {i: absolute[("storage", "p_mw")][i].to_numpy() * 1e6 for i in net.storage.index})
    (out / "congestion.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "SOURCE.md").write_text(_source(code, figures), encoding="utf-8")
    typer.echo(json.dumps(figures, indent=1))


def _extract_day(day: date, label: str, kva: float | None) -> ExtractDay:
    first_step = (day - date(SIMBENCH_YEAR, 1, 1)).days * STEPS_PER_DAY
    return ExtractDay(day, label, first_step, day_start_s(day, UTC_OFFSET_H), kva)


def _storage_pv(net: Any) -> dict[int, Any]:
    """Year of PV [W] behind each storage: the PV profile that its own profile names, at the storage's rating.

    "Storage_PV5_L1-A" is the net output of the plant of profile PV5 with its battery, at a consumer of L1-A.
    """
    series = {}
    for index, storage in net.storage.iterrows():
        pv_profile = str(storage.profile).split("_")[1]
        series[int(index)] = net.profiles["renewables"][pv_profile].to_numpy() * abs(storage.p_mw) * 1e6
    return series


def _write_profiles(path: Path, net: Any, absolute: Any, storage_pv: dict[int, Any], days: list[ExtractDay]) -> None:
    columns: dict[str, Any] = {}
    for i in net.load.index:
        columns[f"load:{i}:w"] = absolute[("load", "p_mw")][i].to_numpy() * 1e6
        columns[f"load:{i}:var"] = absolute[("load", "q_mvar")][i].to_numpy() * 1e6
    columns |= {f"pv:{i}": absolute[("sgen", "p_mw")][i].to_numpy() * 1e6 for i in net.sgen.index}
    columns |= {f"storage:{i}": series for i, series in storage_pv.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["date", "step", *columns])
    whole = {name: np.rint(series).astype(int) for name, series in columns.items()}
    for day in days:
        for step in range(STEPS_PER_DAY):
            values = (int(series[day.first_step + step]) for series in whole.values())
            writer.writerow([day.date.isoformat(), step, *values])
    path.write_bytes(gzip.compress(text.getvalue().encode("ascii"), mtime=0))


def _extract_json(code: str, net: Any, days: list[ExtractDay]) -> dict[str, Any]:
    loads = [
        ExtractLoad(int(i), str(row["name"]), int(row.bus), round(row.sn_mva * 1e6), str(row.profile))
        for i, row in net.load.iterrows()
    ]
    plants = [
        ExtractPlant(int(i), str(row["name"]), int(row.bus), round(row.sn_mva * 1e6)) for i, row in net.sgen.iterrows()
    ]
    storages = [
        ExtractStorage(
            index=int(i),
            name=str(row["name"]),
            bus=int(row.bus),
            pv_power_w=round(abs(row.p_mw) * 1e6),
            power_w=round(row.sn_mva * 1e6),
            energy_wh=round(row.max_e_mwh * 1e6),
            charge_permille=round(row.efficiency_percent * 1000),
            discharge_permille=round(row.efficiency_percent * 1000),
        )
        for i, row in net.storage.iterrows()
    ]
    return {
        "format": EXTRACT_FORMAT,
        "name": code,
        "source": "SimBench (ODbL 1.0), see SOURCE.md",
        "utc_offset_h": UTC_OFFSET_H,
        "step_s": STEP_S,
        "transformer_kva": float(net.trafo.sn_mva.sum() * 1000),
        "days": [
            {
                "date": day.date.isoformat(),
                "label": day.label,
                "first_step": day.first_step,
                "transformer_kva": day.transformer_kva,
            }
            for day in days
        ],
        "loads": [asdict(load) for load in loads],
        "plants": [asdict(plant) for plant in plants],
        "storages": [asdict(storage) for storage in storages],
    }


def _slim(net: Any) -> Any:
    """The net with buses, lines, transformer, switches and loads only: no profiles, coordinates, cost, study cases."""
    slim = pp.create_empty_network(name=net.name or "", f_hz=net.f_hz, sn_mva=net.sn_mva)
    slim["std_types"] = {"line": {}, "trafo": {}, "trafo3w": {}}
    for table in TABLES_KEPT:
        kept = sorted(set(net[table].columns) - set(_UNUSED_COLUMNS))  # simbench's own order changes from run to run
        slim[table] = net[table][kept]
    return slim


def _figures(out: Path, storages_w: dict[int, Any]) -> dict[str, Any]:
    """Congestion of each day: as published, with storages at 0, and with PV and simulated batteries; seed 1, nobody
    dispatched."""
    extract = read_extract(out)
    figures: dict[str, Any] = {"name": extract.name, "seed": 1, "days": []}
    for day in extract.days:
        ratings = sorted({extract.transformer_kva, day.transformer_kva or extract.transformer_kva})
        for kva in ratings:
            scenario = build_scenario(extract, ScenarioOptions(day=day.date, seed=1, transformer_kva=kva))
            steps = slice(day.first_step, day.first_step + STEPS_PER_DAY)
            published = {i: series[steps] for i, series in storages_w.items()}
            figures["days"].append(
                {
                    "date": day.date.isoformat(),
                    "label": day.label,
                    "transformer_kva": kva,
                    "as_published": congestion_figures(as_published(extract, day, kva, published)),
                    "storages_at_0": congestion_figures(as_published(extract, day, kva, {})),
                    "simulated_batteries": congestion_figures(without_market(scenario)),
                }
            )
    return figures


def _source(code: str, figures: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {day['date']} | {day['label']} | {day['transformer_kva']:g} | {how} | {f['highest_loading_percent']} "
        f"({f['highest_loading_element']}) | {f['intervals_above_rating']} | "
        f"{f['lowest_vm_pu']} … {f['highest_vm_pu']} |"
        for day in figures["days"]
        for how, f in (
            ("as published", day["as_published"]),
            ("storages at 0", day["storages_at_0"]),
            ("PV and simulated batteries", day["simulated_batteries"]),
        )
    )
    first = figures["days"][0]["date"]
    next_day = date.fromisoformat(first) + timedelta(days=1)
    return f"""# Extract of SimBench {code}

Grid and profiles of [SimBench](https://simbench.net), version 1.6.3 of its Python package, by the SimBench project
(University of Kassel, Fraunhofer IEE, RWTH Aachen University, TU Dortmund University). Database licence: Open Database
License (ODbL) 1.0, https://opendatacommons.org/licenses/odbl/1-0/. This extract is a derived database under the same
licence.

Cite: S. Meinecke, D. Sarajlić, S. R. Drauz, A. Klettke, L.-P. Lauven, C. Rehtanz, A. Moser, M. Braun: "SimBench — A
Benchmark Dataset of Electric Power Systems to Compare Innovative Solutions Based on Power Flow Analysis", Energies
2020, 13(12), 3290, https://doi.org/10.3390/en13123290.

## How it was made
`python -m scripts.demo.extract_simbench {code} …` wrote every file here, this one included. Year 2016, 15-minute steps,
UTC+1 all year: the day {first} goes from {first} 00:00+01:00 to {next_day} 00:00+01:00. Integers in W and var.
- `grid.json`: pandapower net without profiles, coordinates, generation and storage tables.
- `profiles.csv.gz`: the days; loads with P and Q, PV plants, and the PV behind each storage.
- `extract.json`: days, loads, PV plants, storages. `congestion.json`: the figures below.

SimBench's storage series are net outputs of a PV plant with its battery and never charge. Here each storage is a hybrid
plant: PV of the storage's rating with the PV profile that its own profile names ("Storage_PV5_…" → PV5), and a battery
of ± `sn_mva` and `max_e_mwh` (`max_p_mw` 0 is ignored) that is simulated. `efficiency_percent` 0.95 is a fraction and
is taken for each direction (0.9025 for a round trip). Another transformer rating keeps the relative impedances.

## Congestion
Seed 1, nobody dispatched; batteries serve self-consumption from a state of charge of 10 to 30 % at midnight.
| day | label | transformer kVA | storages | highest loading % | intervals above rating | voltage p.u. |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
"""


if __name__ == "__main__":
    typer.run(export)
