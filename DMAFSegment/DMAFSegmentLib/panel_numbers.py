"""The table that compares the subsets of a run, region by region, and the comparison in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import TRUTH, attribute, stored
from DMAFSegmentLib.comparison_record import Numbers, Record
from DMAFSegmentLib.geometry import GeometryError, Node
from DMAFSegmentLib.panel_tables import Cell, SortedTable
from DMAFSegmentLib.reference_numbers import compare_with_reference
from DMAFSegmentLib.run_comparison import record_of, set_truth, truth_of
from DMAFSegmentLib.signal import Signal


class NumberControls:
    """Region, reference segmentation, table and sentences. ``changed`` is emitted when other numbers are shown."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self.changed = Signal()
        self.table = SortedTable(ui.compareTable)
        self._listed: list[Node] = []
        self._record: Record | None = None
        self._truth: Record | None = None
        self._quiet = False
        ui.numbersRegionComboBox.connect("currentIndexChanged(int)", self._on_region)
        ui.truthSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_truth)

    @property
    def region(self) -> str:
        """Name of the chosen region; empty when there is none."""
        combo = self.ui.numbersRegionComboBox
        return str(combo.itemData(combo.currentIndex) or "")

    @property
    def region_title(self) -> str:
        """Title of the chosen region."""
        return str(self.ui.numbersRegionComboBox.currentText)

    def show(self, listed: Sequence[Node]) -> None:
        """Show the results of a run; no results hide everything."""
        self._listed = list(listed)
        first = self._listed[0] if self._listed else None
        truth = truth_of(slicer.mrmlScene, first)
        self._record = record_of(slicer.mrmlScene, first)
        self._truth = record_of(slicer.mrmlScene, first, TRUTH) if truth is not None else None
        self._fill_regions(first)
        self._quiet = True
        self.ui.truthSelector.setCurrentNode(truth)
        self.ui.truthSelector.enabled = first is not None
        self._quiet = False
        record = self._record or self._truth
        sentences = record.sentences if record is not None else ()
        self.ui.sentencesLabel.text = "\n".join(f"\N{BULLET} {sentence}" for sentence in sentences)
        self.ui.sentencesLabel.visible = bool(sentences)
        self._fill()

    def _fill_regions(self, first: Node | None) -> None:
        combo, before = self.ui.numbersRegionComboBox, self.region
        names = list(stored(first, "RegionVolumesMl")) if first is not None else []
        titles = stored(first, "RegionTitles") if first is not None else {}
        self._quiet = True
        combo.clear()
        for name in names:
            combo.addItem(str(titles.get(name, name)), name)
        combo.currentIndex = names.index(before) if before in names else min(0, len(names) - 1)
        combo.enabled = bool(names)
        self._quiet = False

    # -- table ----------------------------------------------------------------------------------

    def _fill(self) -> None:
        headings = [_("Sequences"), _("mL"), _("+/-\nmL"), _("+/-\n%"), _("Dice"), _("HD95"), _("Exp.\nDice")]
        self.table.show(headings, [(node, self._cells(node)) for node in self._listed])
        self._select()
        self.ui.numbersLabel.text = self._legend()
        self.ui.numbersLabel.visible = bool(self._listed)

    def _cells(self, node: Node) -> list[Cell]:
        title, region = attribute(node, "Title"), self.region
        numbers = self._row(self._record, title) or self._row(self._truth, title)
        truth = self._row(self._truth, title)
        dice: float | None = numbers.dice if numbers else stored(node, "DiceToFullest").get(region)
        hd95 = numbers.hd95_mm if numbers else None
        if truth is not None:
            dice, hd95 = truth.truth_dice, truth.truth_hd95_mm
        volume = numbers.volume_ml if numbers else stored(node, "RegionVolumesMl").get(region)
        return [
            Cell(title, title),
            Cell.number(volume, 1, "-"),
            _signed(numbers.change_ml if numbers else None, 1),
            _signed(numbers.change_percent if numbers else None, 0),
            Cell.number(dice, 2, "-"),
            Cell.number(hd95, 1, "-"),
            Cell.number(stored(node, "ExpectedDice").get(region), 2, "-"),
        ]

    def _row(self, record: Record | None, title: str) -> Numbers | None:
        return record.rows.get(title, {}).get(self.region) if record is not None else None

    def _legend(self) -> str:
        """What the columns say, and what they compare with."""
        base = next((record.base for record in (self._record, self._truth) if record is not None), "")
        if not base:
            return _("Dice compares with the result of the most sequences.")
        truth = self.ui.truthSelector.currentNode()
        known = self._truth is not None and self.region in self._truth.regions
        if truth is not None and known:
            text = _('Change against {base}; Dice and HD95 (mm) against "{reference}".')
            return " ".join([text.format(base=base, reference=truth.GetName()), self._expected()]).strip()
        text = _("Change, Dice and HD95 (mm) against {base}; it need not be right.").format(base=base)
        unknown = _('"{reference}" has no segment for this region.').format(reference=truth.GetName()) if truth else ""
        return " ".join(part for part in (text, unknown, self._expected()) if part)

    def _expected(self) -> str:
        if not any(stored(node, "ExpectedDice") for node in self._listed):
            return ""
        source = attribute(self._listed[0], "ExpectedDiceSource") or _("the cases of its model card")
        return _("Exp.: mean Dice of the model on {source}, no promise for this patient.").format(source=source)

    def _select(self) -> None:
        chosen = self.ui.segmentationSelector.currentNode()
        if chosen in self.table.payloads:
            self.ui.compareTable.selectRow(self.table.payloads.index(chosen))

    def _on_region(self, *_arguments: Any) -> None:
        if not self._quiet:
            self._fill()
            self.changed.emit()

    # -- reference segmentation -----------------------------------------------------------------

    def _on_truth(self, *_arguments: Any) -> None:
        scene = slicer.mrmlScene
        if self._quiet or not self._listed or scene.IsClosing() or scene.IsBatchProcessing():
            return
        truth = self.ui.truthSelector.currentNode()
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            set_truth(scene, self._listed, truth, compare_with_reference(self._listed, truth) if truth else "")
        except (GeometryError, ValueError) as error:
            set_truth(scene, self._listed, None)
            slicer.util.errorDisplay(str(error))
        finally:
            slicer.app.restoreOverrideCursor()
        self.show(self._listed)
        self.changed.emit()


def _signed(value: float | None, digits: int) -> Cell:
    cell = Cell.number(value, digits, "-")
    return Cell(f"+{cell.text}", cell.key) if value is not None and round(value, digits) > 0 else cell
