"""What was done with the scans of the chosen result, in words and pictures, and the box that shows them aligned."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.alignment import put_on, run_put_on, take_off, transforms_of_run
from DMAFSegmentLib.attributes import attribute
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.scan_record import ScanRecord, scan_record

_PICTURE_WIDTH = 330  # pixels: a panel in Slicer is 400 wide or more


class ScansView:
    """The lower part of the section on preprocessing."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._run, self._reasons = "", ""
        self._quiet = False
        self._pictures: list[Any] = []
        self._shown: ScanRecord | None = None
        ui.alignedCheckBox.connect("toggled(bool)", self._on_aligned)

    def refresh(self, node: Node | None) -> None:
        """Tell about the run of a result."""
        scene = slicer.mrmlScene
        run, record = attribute(node, "Run"), scan_record(scene, node)
        self._run, self._reasons = run, self._reasons if run == self._run else ""
        lines = record.lines() if record is not None else []
        self.ui.scansLabel.text = "\n".join([_("Done with the scans of the chosen result:"), *lines])
        self.ui.scansLabel.visible = bool(lines)
        if record != self._shown:
            self._shown = record
            self._show_pictures(record)
        self._refresh_box()

    def doubts(self, node: Node | None) -> str:
        """What the user should look at before believing a result; empty without warnings."""
        record = scan_record(slicer.mrmlScene, node)
        if record is None or not record.warnings:
            return ""
        return _("Please check what is said under Preprocessing: {text}").format(text=record.warnings[0])

    def take_off(self) -> bool:
        """Bring the scans back to where they were loaded, for a run; True if they were shown aligned."""
        aligned = bool(run_put_on(slicer.mrmlScene))
        take_off(slicer.mrmlScene)
        self._reasons = ""
        self._refresh_box()
        return aligned

    def put_on(self) -> None:
        """Show the scans of the chosen result aligned, as far as that is possible."""
        self._reasons = " ".join(put_on(slicer.mrmlScene, self._run))
        self._refresh_box()

    def _on_aligned(self, checked: bool) -> None:
        if self._quiet:
            return
        if checked:
            self.put_on()
        else:
            self.take_off()

    def _refresh_box(self) -> None:
        """State of the box by what the scene holds, and why scans stayed where they are."""
        scene, box = slicer.mrmlScene, self.ui.alignedCheckBox
        shown, found = bool(run_put_on(scene)), bool(transforms_of_run(scene, self._run))
        self._quiet = True
        box.checked = shown
        self._quiet = False
        box.enabled = shown or found
        box.toolTip = (
            _("Put the transforms of the run on the scans, for every view. Untick to take them off again.")
            if box.enabled
            else _("The run of the chosen result moved no scan.")
            if self._shown is not None
            else _("Choose a result whose scans were aligned.")
        )
        self.ui.alignedLabel.text = self._reasons
        self.ui.alignedLabel.visible = bool(self._reasons)

    def _show_pictures(self, record: ScanRecord | None) -> None:
        layout = self.ui.picturesArea.layout()
        for label in self._pictures:
            layout.removeWidget(label)
            label.visible = False
            label.deleteLater()
        self._pictures = [label for name in record.pictures for label in _labels(record, name)] if record else []
        for label in self._pictures:
            layout.addWidget(label)


def _labels(record: ScanRecord, name: str) -> list[Any]:
    """Caption and picture of a sequence; nothing if Qt cannot read the picture."""
    pixmap = qt.QPixmap()
    if not pixmap.loadFromData(record.pictures[name], "PNG"):
        return []
    caption, picture = qt.QLabel(record.caption(name)), qt.QLabel()
    caption.wordWrap = True
    picture.setPixmap(pixmap.scaledToWidth(_PICTURE_WIDTH, qt.Qt.SmoothTransformation))
    picture.accessibleName = caption.text
    return [caption, picture]
