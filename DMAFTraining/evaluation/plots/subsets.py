"""Dice of every subset of sequences: dots with intervals, and a radar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from DMAFTraining.evaluation.plots.style import WIDTH, Look, in_style, look
from DMAFTraining.evaluation.statistics import CONFIDENCE, Bootstrap
from DMAFTraining.evaluation.study import Quantity, Scores, Study
from DMAFTraining.evaluation.tables.captions import heading

_SPREAD = 0.7  # of the methods around a subset's place, in places
_PANEL, _DOTS = 1.5, 0.16  # heights in inches: of a region, and of a sequence's line of dots


@in_style
def draw_dots(study: Study, bootstrap: Bootstrap, setting: str, methods: Sequence[str]) -> Figure:
    """Mean Dice over cases with its interval, by subset and method; below, which sequences each subset has."""
    sequences, regions = study.dataset.modalities, study.main_regions
    heights = [*(_PANEL for _ in regions), _DOTS * len(sequences)]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    *panels, dots = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    shown = _with_runs(study, setting, methods)
    for axes, region in zip(panels, regions, strict=True):
        for place, (method, style) in enumerate(shown.items()):
            shift = _SPREAD * ((place + 0.5) / len(shown) - 0.5)
            per_case = _per_case(study, setting, method, region)
            _draw_method(axes, bootstrap, per_case, shift, style, study.plan.methods[method])
        axes.set_ylabel(f"{region}, Dice %")
    _draw_presence(dots, study)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))
    cases = f"{len(study.cases)} cases"
    figure.suptitle(
        f"{heading(study)}, {study.plan.settings[setting]}: mean and {CONFIDENCE:.0%} interval over {cases}"
    )
    return figure


def _draw_method(
    axes: Axes, bootstrap: Bootstrap, per_case: Sequence[Scores], shift: float, style: Look, label: str
) -> None:
    means = 100 * np.array([np.nanmean(values) for values in per_case])
    ends = 100 * np.array([(i.low, i.high) for i in (bootstrap.interval(values) for values in per_case)]).T
    reach = np.nan_to_num(np.abs(ends - means))
    places = np.arange(len(means)) + shift
    axes.errorbar(
        places, means, yerr=reach, fmt=style.marker, color=style.color, label=label, elinewidth=0.8, linestyle="none"
    )


def _draw_presence(axes: Axes, study: Study) -> None:
    """Filled circles where a subset has a sequence, open ones where not."""
    sequences = study.dataset.modalities
    flags = np.array([sequences.flags(subset) for subset in study.subsets]).T
    for filled in (True, False):
        lines, places = np.nonzero(flags == filled)
        axes.scatter(places, lines, s=14, facecolors="black" if filled else "none", edgecolors="black", linewidths=0.6)
    axes.set_yticks(range(len(sequences)), [modality.title for modality in sequences])
    axes.set_ylim(len(sequences) - 0.4, -0.6)
    axes.set_xticks(range(len(study.subsets)), [""] * len(study.subsets))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


@in_style
def draw_radar(study: Study, setting: str, methods: Sequence[str]) -> Figure:
    """Mean Dice over cases on one spoke per subset: a panel per region, and one that says what the spokes are."""
    regions, columns = study.main_regions, 2
    lines = -(-(len(regions) + 1) // columns)
    figure = Figure(figsize=(WIDTH, 3.4 * lines), layout="constrained")
    shown = _with_runs(study, setting, methods)
    for number, region in enumerate(regions, 1):
        axes = figure.add_subplot(lines, columns, number, projection="polar")
        assert isinstance(axes, PolarAxes)  # noqa: S101  (what projection="polar" gives)
        for method, style in shown.items():
            _draw_web(axes, _per_case(study, setting, method, region), style, study.plan.methods[method])
        axes.set_title(f"{region}, Dice %")
    key = figure.add_subplot(lines, columns, len(regions) + 1)
    key.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    key.legend(handles, labels, loc="upper left", borderaxespad=0)
    spokes = "\n".join(f"{number}  {subset}" for number, subset in enumerate(study.subsets, 1))
    key.text(0.5, 1.0, spokes, transform=key.transAxes, va="top")
    figure.suptitle(f"{heading(study)}, {study.plan.settings[setting]}: mean over {len(study.cases)} cases")
    return figure


def _draw_web(axes: PolarAxes, per_case: Sequence[Scores], style: Look, label: str) -> None:
    means = [100 * float(np.nanmean(values)) for values in per_case]
    angles = np.linspace(0, 2 * np.pi, len(means), endpoint=False)
    axes.plot(
        [*angles, angles[0]],
        [*means, means[0]],
        color=style.color,
        marker=style.marker,
        linestyle=style.line,
        label=label,
        markersize=3.5,
    )
    axes.set_xticks(angles, [str(number) for number in range(1, len(means) + 1)])
    axes.set_ylim(0, 100)
    axes.set_yticks(range(20, 100, 20))
    axes.set_rlabel_position(180 / len(means))  # between two spokes, where no marker is
    axes.set_theta_direction(-1)
    axes.set_theta_zero_location("N")


def _per_case(study: Study, setting: str, method: str, region: str) -> list[Scores]:
    """Dice of each case, by subset."""
    found = (study.by_case(setting, method, Quantity("dice", region, subset)) for subset in study.subsets)
    return [values for values in found if values is not None]


def _with_runs(study: Study, setting: str, methods: Sequence[str]) -> dict[str, Look]:
    """The methods that have runs, each with a look that it has in every setting."""
    return {method: look(number) for number, method in enumerate(methods) if study.of(setting, method)}
