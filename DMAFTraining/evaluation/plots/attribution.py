"""What each sequence contributes: bars of leaving it out and of its Shapley value."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from DMAFTraining.evaluation.plots.style import WIDTH, in_style, look
from DMAFTraining.inference.case_comparison import Attribution, Comparison, Measure

TITLES: dict[Measure, str] = {"dice": "Dice", "volume_ml": "mL"}
_LINE, _BAR = 1.7, 0.38


@in_style
def draw_attribution(comparison: Comparison) -> Figure:
    """A line of panels per measure, a panel per region, two bars per sequence."""
    regions, measures = comparison.regions, comparison.attributions
    figure = Figure(figsize=(WIDTH, _LINE * len(measures) + 0.4), layout="constrained")
    panels = figure.subplots(len(measures), len(regions), squeeze=False, sharex=True, sharey="row")
    for line, (measure, found) in zip(panels, measures.items(), strict=True):
        for axes, region in zip(line, regions, strict=True):
            _draw_bars(axes, found[region.name], [m.name for m in comparison.players])
            axes.set_title(region.title)
            axes.set_xticks(range(len(comparison.players)), [m.title for m in comparison.players])
        line[0].set_ylabel(TITLES[measure])
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _draw_bars(axes: Axes, attribution: Attribution, names: list[str]) -> None:
    series = (("all sequences less all without it", attribution.leave_one_out), ("Shapley value", attribution.shapley))
    for number, (label, values) in enumerate(series):
        heights = [np.nan if values is None else values.get(name, np.nan) for name in names]
        places = np.arange(len(names)) + (number - 0.5) * _BAR
        # Orange and blue; the pattern tells them apart without any color.
        axes.bar(places, heights, _BAR, color=look(number + 1).color, label=label, hatch=("///", "")[number])
    axes.axhline(0, color="black", linewidth=0.6)
