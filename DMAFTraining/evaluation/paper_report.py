"""The report of a folder of runs: every table and figure of the paper, and a page that links them."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.files import place_folder
from DMAFTraining.data.progress import progress
from DMAFTraining.evaluation.empty_rule import Distance
from DMAFTraining.evaluation.plots.balance import draw_balance
from DMAFTraining.evaluation.plots.panel import draw_panel, load_panel
from DMAFTraining.evaluation.plots.style import FORMATS, save
from DMAFTraining.evaluation.plots.subsets import draw_dots, draw_radar
from DMAFTraining.evaluation.published import comparable
from DMAFTraining.evaluation.statistics import Bootstrap
from DMAFTraining.evaluation.study import Study
from DMAFTraining.evaluation.tables import captions
from DMAFTraining.evaluation.tables.checks import comparison_table, seed_table
from DMAFTraining.evaluation.tables.paper import ablation_table, main_methods, main_table, subset_table
from DMAFTraining.evaluation.tables.render import as_csv, as_latex, as_markdown
from DMAFTraining.evaluation.tables.sizes import size_table
from DMAFTraining.evaluation.tables.table import Table

PAGE = "index.md"
_RECORD = "report.json"
_RENDERERS = {"md": as_markdown, "csv": as_csv, "tex": as_latex}


@dataclass(frozen=True)
class ReportSettings:
    """What the report is to show.

    Attributes:
        distance: the distance beside Dice.
        reference: the method the others are tested against; by default the last one of the tables.
        panel: folder for the picture of one slice, see :mod:`~DMAFTraining.evaluation.plots.panel`.
        command: what made the report, to be written into it.
    """

    distance: Distance = "hd95_pooled"
    reference: str | None = None
    panel: Path | None = None
    command: str = ""


def write_paper_report(study: Study, settings: ReportSettings, output: Path) -> Path:
    """Write the folder, whole or not at all; returns the page that links everything.

    Raises:
        ValueError: the folder holds something else, or the reference is not in the plan.
        InputError: the panel's files do not fit; see :func:`~DMAFTraining.evaluation.plots.panel.load_panel`.
    """
    if output.exists() and not (output.is_dir() and (not any(output.iterdir()) or (output / _RECORD).is_file())):
        raise ValueError(f"{output} exists and is not such a report; give another --output.")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as place:
        ready = Path(place) / "report"
        ready.mkdir()
        tables = _write_tables(study, settings, ready)
        figures = _write_figures(study, settings, ready)
        (ready / "runs.csv").write_text(_runs(study), encoding="utf-8")
        (ready / PAGE).write_text(_page(study, settings, tables, figures), encoding="utf-8")
        record = {"command": settings.command, "versions": captions.versions()}
        (ready / _RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        place_folder(ready, output)
    return output / PAGE


def _write_tables(study: Study, settings: ReportSettings, folder: Path) -> list[Table]:
    bootstrap, published = Bootstrap(len(study.cases)), comparable(study)
    reference = settings.reference or main_methods(study)[-1]
    shown = _settings_with_runs(study)
    ablations = [ablation_table(study, bootstrap, published, setting, settings.distance) for setting in shown]
    tables = [
        main_table(study, bootstrap, published, settings.distance),
        *(subset_table(study, bootstrap, published, setting) for setting in shown),
        *(table for table in ablations if table is not None),
        size_table(study, bootstrap),
        comparison_table(study, bootstrap, reference),
        seed_table(study),
    ]
    for table in tables:
        for ending, render in _RENDERERS.items():
            (folder / f"{table.name}.{ending}").write_text(render(table), encoding="utf-8")
    return tables


def _settings_with_runs(study: Study) -> list[str]:
    return [setting for setting in study.plan.settings if any(run.setting == setting for run in study.runs)]


def _write_figures(study: Study, settings: ReportSettings, folder: Path) -> dict[str, str]:
    """Title of each figure by the name of its files."""
    titles = {}
    with progress("drawing figures") as report:
        drawn = _figures(study, settings)
        total = 3 * len(_settings_with_runs(study)) + (settings.panel is not None)
        for number, (name, title, figure) in enumerate(drawn, 1):
            if figure is not None:
                save(figure, folder, name)
                titles[name] = title
            report(number, total)
    return titles


def _figures(study: Study, settings: ReportSettings) -> Iterator[tuple[str, str, Figure | None]]:
    bootstrap, methods = Bootstrap(len(study.cases)), main_methods(study)
    for setting in _settings_with_runs(study):
        title = study.plan.settings[setting]
        yield f"dots_{setting}", f"Dice by subset, {title}", draw_dots(study, bootstrap, setting, methods)
        yield f"radar_{setting}", f"Dice by subset as radar, {title}", draw_radar(study, setting, methods)
        yield f"balance_{setting}", f"Balance in training, {title}", draw_balance(study, setting, methods)
    if settings.panel is not None:
        case = load_panel(settings.panel, study.plan)
        yield "panel", "Methods and subsets on one slice", draw_panel(case, captions.heading(study))


def _runs(study: Study) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["setting", "method", "seed", "model", "model_sha256", "simulated_training"])
    for run in study.runs:
        writer.writerow([run.setting, run.method, run.seed, run.model, run.model_sha256, int(run.simulated_training)])
    return stream.getvalue()


def _page(study: Study, settings: ReportSettings, tables: Iterable[Table], figures: dict[str, str]) -> str:
    lines = [f"# {study.plan.title}", "", RESEARCH_NOTICE, "", captions.data_sentence(study), ""]
    lines += ["## Tables", ""]
    for table in tables:
        lines.append(f"- {table.title}: {_links(table.name, _RENDERERS)}")
    lines += ["", f"{len(study.runs)} runs: [runs.csv](runs.csv). {_missing(study)}", "", "## Figures", ""]
    for name, title in figures.items():
        lines += [f"{title}: {_links(name, FORMATS)}", "", f"![{title}]({name}.png)", ""]
    lines += ["## Made by", "", "```", settings.command, "```", "", captions.versions_sentence()]
    return "\n".join(lines) + "\n"


def _links(name: str, endings: Iterable[str]) -> str:
    return ", ".join(f"[{ending}]({name}.{ending})" for ending in endings)


def _missing(study: Study) -> str:
    """The planned methods without any run, in words."""
    gaps = [
        f"{method} in {setting}"
        for setting in study.plan.settings
        for method in study.plan.methods_in(setting)
        if not study.of(setting, method)
    ]
    return f"Without a run: {', '.join(gaps)}." if gaps else "No planned method is without a run."
