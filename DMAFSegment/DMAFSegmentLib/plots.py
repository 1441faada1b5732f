"""Bars for the numbers of a run: Slicer's own plot nodes, in its folder, and the views that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import PLOT, PREFIX, SEQUENCES, TABLE, attribute, companion, nodes_of_run
from DMAFSegmentLib.comparison import LAST_LAYOUT_ID
from DMAFSegmentLib.comparison_record import DICE, VOLUME
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.layouts import column, plot_view, row
from DMAFSegmentLib.run_folder import put_beside
from DMAFSegmentLib.volume_table import (
    DICE_TO_FULLEST,
    ML,
    PATTERN,
    REGION,
    SEQUENCE,
    SHAPLEY,
    SUBSETS,
    TO_TRUTH,
    UNITS,
    WITHOUT,
    sequences_of,
)

PLOT_LAYOUT_ID = LAST_LAYOUT_ID - 1
_TAG = "DMAFPlot"
_PLOT_VIEW = "vtkMRMLPlotViewNode"
_BLUE, _ORANGE = (0.0, 0.45, 0.70), (0.90, 0.62, 0.0)  # told apart with any color vision (Okabe and Ito, 2008)


@dataclass(frozen=True)
class Chart:
    """Bars of some columns of a table, beside each other: heading -> name in the legend."""

    key: str
    title: str
    unit: str
    table: Node
    labels: str
    axis: str
    bars: dict[str, str]


def charts(scene: Any, result: Node, region: str, title: str) -> list[Chart]:
    """What can be drawn of a region of the run of a result: volume and Dice per subset, then shares per sequence."""
    table, sequences = (companion(scene, result, kind) for kind in (TABLE, SEQUENCES))
    drawn = _of_subsets(table, region, title) if table is not None else []
    drawn += _of_sequences(sequences, region, title) if sequences is not None else []
    return [chart for chart in drawn if chart.bars]


def _of_subsets(table: Node, region: str, title: str) -> list[Chart]:
    labels, axis = _axis(table)
    volume = {heading.format(name=region): _("Volume") for heading in (REGION, ML)}
    dice = {DICE_TO_FULLEST: _("Dice to the fullest"), TO_TRUTH: _("Dice to the reference")}
    dice = {heading.format(name=region): name for heading, name in dice.items()}
    volume_title = _("Volume: {region}").format(region=title)
    dice_title = _("Overlap: {region}").format(region=title)
    return [
        Chart("volume", volume_title, "mL", table, labels, axis, dict(list(_present(table, volume).items())[:1])),
        Chart("dice", dice_title, "Dice", table, labels, axis, _present(table, dice)),
    ]


def _of_sequences(table: Node, region: str, title: str) -> list[Chart]:
    found = []
    for measure in (VOLUME, DICE):
        unit = UNITS[measure]
        bars = {
            WITHOUT.format(name=region, unit=unit): _("Loss without it"),
            SHAPLEY.format(name=region, unit=unit): _("Shapley value"),
        }
        text = _("Which sequence matters: {region}").format(region=title)
        found.append(Chart(f"matters {measure}", text, unit, table, SEQUENCE, "", _present(table, bars)))
    return found


def _present(table: Node, bars: dict[str, str]) -> dict[str, str]:
    return {heading: name for heading, name in bars.items() if table.GetTable().GetColumnByName(heading) is not None}


def _axis(table: Node) -> tuple[str, str]:
    """Column that names the bars, and what to write below the axis."""
    if table.GetTable().GetColumnByName(PATTERN) is None:
        return SUBSETS, ""
    titles = table.GetTable().GetColumnByName(SUBSETS)
    listed = [titles.GetValue(index) for index in range(titles.GetNumberOfValues())]
    return PATTERN, _("{sequences} (x: used, -: left out)").format(sequences=", ".join(sequences_of(listed)))


class PlotStage:
    """Shows charts in a layout of plot views, and brings the layout before back."""

    def __init__(self, scene: Any, layout_node: Node) -> None:
        self._scene, self._layout = scene, layout_node
        self._previous: int | None = None

    @property
    def active(self) -> bool:
        """True between :meth:`show` and :meth:`hide`."""
        return self._previous is not None

    @property
    def on_screen(self) -> bool:
        """Is the layout still the plots'? False after the user chose another one."""
        return bool(self._layout.GetViewArrangement() == PLOT_LAYOUT_ID)

    def show(self, result: Node, drawn: Sequence[Chart]) -> str:
        """Draw charts, as nodes of the run of the result; gives a sentence when this Slicer has no plot views."""
        if not self.active:
            self._open()
        nodes = [self._draw(result, chart) for chart in drawn]
        views = [self._scene.GetSingletonNode(tag, _PLOT_VIEW) for tag in _tags()]
        if None in views:
            self.hide()
            return _("This Slicer has no plot views.")
        for index, view in enumerate(views):
            view.SetPlotChartNodeID(nodes[index].GetID() if index < len(nodes) else None)
        return ""

    def hide(self) -> None:
        """Back to the layout before; the plots stay in the folder of their run."""
        previous, self._previous = self._previous, None
        if previous is not None and self.on_screen:
            self._layout.SetViewArrangement(previous)

    def _open(self) -> None:
        previous = self._layout.GetViewArrangement()
        if not self._layout.IsLayoutDescription(PLOT_LAYOUT_ID):
            self._layout.AddLayoutDescription(PLOT_LAYOUT_ID, layout_xml())
        self._layout.SetViewArrangement(PLOT_LAYOUT_ID)
        self._previous = previous  # only now: until here the layout of the user is on screen, and says that it changes

    def _draw(self, result: Node, chart: Chart) -> Node:
        node = self._node("vtkMRMLPlotChartNode", result, chart.key, "DMAF plot")
        node.SetTitle(chart.title)
        node.SetYAxisTitle(chart.unit)
        node.SetXAxisTitle(chart.axis)
        node.SetXAxisTitleVisibility(bool(chart.axis))
        node.SetLegendVisibility(len(chart.bars) > 1)
        node.RemoveAllPlotSeriesNodeIDs()
        colors = (_BLUE, _ORANGE)
        for (heading, name), color in zip(chart.bars.items(), colors, strict=False):
            series = self._node("vtkMRMLPlotSeriesNode", result, f"{chart.key} {colors.index(color)}", name)
            series.SetName(name)
            series.SetAndObserveTableNodeID(chart.table.GetID())
            series.SetYColumnName(heading)
            series.SetLabelColumnName(chart.labels)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
            series.SetColor(*color)
            node.AddAndObservePlotSeriesNodeID(series.GetID())
        return node

    def _node(self, kind: str, result: Node, key: str, name: str) -> Node:
        """The node of a run for one chart or series; made when there is none yet."""
        for node in nodes_of_run(self._scene, attribute(result, "Run")):
            if node.IsA(kind) and attribute(node, "Plot") == key:
                return node
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(name))
        node.SetAttribute(PREFIX + "Plot", key)
        put_beside(self._scene, result, node, PLOT)
        return node


def layout_xml() -> str:
    """Four plot views: volume and Dice of the subsets, then of the sequences."""
    first, second, third, fourth = (plot_view(tag) for tag in _tags())
    return column([row([first, second]), row([third, fourth])])


def _tags() -> list[str]:
    return [f"{_TAG}{number}" for number in range(1, 5)]
