"""What leaves the panel: the table as text or file, the segmentation as DICOM SEG, and the details of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer

from DMAFSegmentLib import provenance
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import TABLE, attribute, companion
from DMAFSegmentLib.dicom_export import ExportError, export, obstacle
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.volume_table import save_csv, table_text


class ExportControls:
    """Buttons that copy, save and export; they act on the chosen segmentation and the table of its run."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._node: Node | None = None
        self._table: Node | None = None
        ui.copyTableButton.connect("clicked(bool)", self._on_copy)
        ui.saveTableButton.connect("clicked(bool)", self._on_save)
        ui.dicomButton.connect("clicked(bool)", self._on_dicom)
        ui.detailsButton.connect("toggled(bool)", self._on_details)

    def refresh(self, node: Node | None) -> None:
        """Enable what can be done with a segmentation; tooltips say why the rest cannot."""
        ui = self.ui
        self._node = node if attribute(node, "Subset") else None
        self._table = companion(slicer.mrmlScene, self._node, TABLE)
        for button in (ui.copyTableButton, ui.saveTableButton):
            button.enabled = self._table is not None
        reason = obstacle(self._node)
        ui.dicomButton.enabled = not reason
        ui.dicomButton.toolTip = reason or _("Write this segmentation as a DICOM SEG file.")
        document = provenance.read(attribute(self._node, "Provenance"))
        ui.detailsButton.enabled = bool(document)
        ui.detailsText.plainText = provenance.summary(document) if document else ""
        self._on_details()

    def _on_copy(self, *_arguments: Any) -> None:
        qt.QApplication.clipboard().setText(table_text(self._table, "\t"))

    def _on_save(self, *_arguments: Any) -> None:
        path = _ask_path(self.ui.saveTableButton, _("Save the table"), ".csv", _("Tables (*.csv)"))
        if path is None:
            return
        try:
            save_csv(self._table, path)
        except OSError as error:
            slicer.util.errorDisplay(
                _("The table was not saved to {path} ({reason}). Choose another folder.").format(
                    path=path, reason=error.strerror
                )
            )

    def _on_dicom(self, *_arguments: Any) -> None:
        path = _ask_path(self.ui.dicomButton, _("Export as DICOM SEG"), ".dcm", _("DICOM files (*.dcm)"))
        if path is None or self._node is None:
            return
        try:
            export(self._node, path)
        except ExportError as error:
            slicer.util.errorDisplay(str(error))

    def _on_details(self, *_arguments: Any) -> None:
        self.ui.detailsText.visible = self.ui.detailsButton.checked and self.ui.detailsButton.enabled


def _ask_path(parent: Any, title: str, suffix: str, kinds: str) -> Path | None:
    """A file the user chose, with the suffix; None when the question was canceled."""
    chosen = qt.QFileDialog.getSaveFileName(parent, title, "", kinds)
    if not chosen:
        return None
    path = Path(chosen)
    return path if path.suffix else path.with_suffix(suffix)
