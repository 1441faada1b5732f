"""The control that says which combinations of the chosen sequences a run segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.captions import without
from DMAFSegmentLib.panel_tables import Cell, SortedTable
from DMAFSegmentLib.subset_choice import (
    ALL,
    FULL,
    LEAVE_ONE_OUT,
    PICKED,
    SINGLE,
    SIZE,
    Names,
    SubsetChoice,
    every_subset,
)


class SubsetControls:
    """A list of ways to choose; a number for one of them, a check list for another."""

    def __init__(self, ui: Any, on_change: Callable[[], None]) -> None:
        self.ui, self._on_change = ui, on_change
        self._titles: dict[str, str] = {}
        self._picked: set[Names] = set()
        self._foreign: tuple[Names, ...] = ()  # picked, but of sequences that are not chosen now
        self._quiet = False
        self._table = SortedTable(ui.subsetsTable, self._on_checked)
        for text, mode in (
            (_("Nothing, all sequences only"), FULL),
            (_("Every subset"), ALL),
            (_("Leave one out"), LEAVE_ONE_OUT),
            (_("One at a time"), SINGLE),
            (_("All of one size"), SIZE),
            (_("Picked ones"), PICKED),
        ):
            ui.subsetsComboBox.addItem(text, mode)
        ui.subsetsComboBox.connect("currentIndexChanged(int)", self._changed)
        ui.subsetSizeSpinBox.connect("valueChanged(int)", self._changed)
        self._show_parts()

    @property
    def choice(self) -> SubsetChoice:
        """What is chosen now."""
        combo = self.ui.subsetsComboBox
        picked = [names for names in self._listed() if names in self._picked]
        return SubsetChoice(
            combo.itemData(combo.currentIndex), self.ui.subsetSizeSpinBox.value, (*picked, *self._foreign)
        )

    def show(self, choice: SubsetChoice) -> None:
        """Show a choice, for example of a saved scene."""
        self._quiet = True
        self.ui.subsetsComboBox.currentIndex = self.ui.subsetsComboBox.findData(choice.mode)
        self.ui.subsetSizeSpinBox.value = choice.size
        self._quiet = False
        self._take(choice.picked)
        self._show_parts()

    def offer(self, titles: dict[str, str]) -> None:
        """List the subsets of these sequences (name -> title, in channel order)."""
        if titles != self._titles:
            picked = self.choice.picked
            self._titles = dict(titles)
            self._take(picked)

    def problems(self) -> list[str]:
        """Why nothing can be run, in sentences."""
        nothing = self._titles and not self.choice.subsets(list(self._titles))
        return [_("Tick at least one subset of the sequences, or choose another comparison.")] if nothing else []

    def _listed(self) -> list[Names]:
        return every_subset(list(self._titles))

    def _take(self, picked: Sequence[Names]) -> None:
        listed = self._listed()
        self._picked = {names for names in picked if names in listed}
        self._foreign = tuple(names for names in picked if names not in listed)
        self._fill()

    def _fill(self) -> None:
        every = list(self._titles.values())
        rows = []
        for names in self._listed():
            titles = [self._titles[name] for name in names]
            text, absent = "+".join(titles), without(titles, every)
            rows.append((names, [Cell(text, text, checked=names in self._picked), Cell(absent, absent)]))
        self._table.show([_("Subset"), _("Absent")], rows)
        self._show_parts()

    def _show_parts(self) -> None:
        mode = self.choice.mode
        self.ui.subsetSizeSpinBox.visible = mode == SIZE
        self.ui.subsetsTable.visible = mode == PICKED and self.ui.subsetsTable.rowCount > 0

    def _on_checked(self, names: Names, checked: bool) -> None:
        (self._picked.add if checked else self._picked.discard)(names)
        self._on_change()

    def _changed(self, *_arguments: Any) -> None:
        if not self._quiet:
            self._show_parts()
            self._on_change()
