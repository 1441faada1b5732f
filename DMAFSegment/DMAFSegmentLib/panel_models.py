"""The section "Models" of the panel: what is installed, what can be downloaded, and the card of each model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.catalogue import find_catalogues
from DMAFSegmentLib.install import worker_interpreter
from DMAFSegmentLib.job import State, time_left
from DMAFSegmentLib.model_download import ModelDownload
from DMAFSegmentLib.model_files import disk_use, install_file, remove, why_kept
from DMAFSegmentLib.model_list import ModelRow, list_models, size_text
from DMAFSegmentLib.models import ModelEntry, model_folders, user_folder
from DMAFSegmentLib.panel_process import QtWorkerProcess, call_later
from DMAFSegmentLib.panel_tables import Cell, SortedTable
from DMAFSegmentLib.protocol import JobError


class ModelSection:
    """Lists, downloads, installs and removes models.

    ``find`` gives the models that are here; ``busy`` tells whether a segmentation is running; ``on_change`` is
    called after a model came or went.
    """

    def __init__(
        self, ui: Any, find: Callable[[], list[ModelEntry]], busy: Callable[[], bool], on_change: Callable[[], None]
    ) -> None:
        self.ui = ui
        self._find, self._busy, self._on_change = find, busy, on_change
        self._download: ModelDownload | None = None
        self._table = SortedTable(ui.modelsTable)
        ui.modelsTable.connect("itemSelectionChanged()", self._show_row)
        ui.downloadModelButton.connect("clicked(bool)", self._on_download)
        ui.installModelButton.connect("clicked(bool)", self._on_install)
        ui.removeModelButton.connect("clicked(bool)", self._on_remove)
        ui.modelFolderButton.connect("clicked(bool)", self._on_folder)
        self.refresh()

    @property
    def row(self) -> ModelRow | None:
        """The selected model."""
        index = self.ui.modelsTable.currentRow()
        return self._table.payloads[index] if 0 <= index < len(self._table.payloads) else None

    def refresh(self, select: str = "") -> None:
        """Look at the folders again; the selection stays, or goes to the model of the key ``select``."""
        chosen = select or (self.row.key if self.row is not None else "")
        offers, wrong = find_catalogues(model_folders())
        rows = list_models(self._find(), offers, user_folder())
        headings = [_("Model"), _("State"), _("Size")]
        self._table.show(headings, [(row, _cells(row)) for row in rows])
        keys = [row.key for row in self._table.payloads]
        if keys:
            self.ui.modelsTable.selectRow(keys.index(chosen) if chosen in keys else 0)
        folder = user_folder()
        text = _("Installed models take {size} in {folder}.")
        self.ui.modelFolderLabel.text = text.format(size=size_text(disk_use(folder)), folder=folder)
        if wrong:
            self._say(" ".join(wrong))
        self._show_row()

    def select(self, key: str) -> None:
        """Show a model, for example the one chosen above."""
        keys = [row.key for row in self._table.payloads]
        if key in keys:
            self.ui.modelsTable.selectRow(keys.index(key))

    def shutdown(self) -> None:
        """Stop a download; for closing the application and reloading the module."""
        if self._download is not None:
            self._download.shutdown()

    # -- what is shown --------------------------------------------------------------------------

    def _show_row(self, *_arguments: Any) -> None:
        row = self.row
        here = row.entry if row is not None else None
        self.ui.modelCard.searchPaths = [str(here.path.parent)] if here is not None else []  # for the card's pictures
        self.ui.modelCard.markdown = row.card if row is not None else ""
        self._refresh_buttons()

    def _refresh_buttons(self, *_arguments: Any) -> None:
        ui, row = self.ui, self.row
        running = self._download is not None and self._download.running
        ui.downloadProgress.visible = running
        button = ui.downloadModelButton
        button.text = _("Cancel download") if running else _("Download")
        reason = "" if running else _why_not_downloaded(row)
        button.enabled = not reason
        button.toolTip = reason or (_("Stop the download") if running else _offer_text(row))
        reason = _why_not_removed(row)
        ui.removeModelButton.enabled = not reason
        ui.removeModelButton.toolTip = reason or _("Delete this model from the disk, after a question")
        ui.installModelButton.enabled = not running

    def _say(self, text: str) -> None:
        self.ui.modelsStatusLabel.text = text
        self.ui.modelsStatusLabel.visible = bool(text)

    # -- download -------------------------------------------------------------------------------

    def _on_download(self, *_arguments: Any) -> None:
        if self._download is not None and self._download.running:
            self._download.cancel()
            self.ui.downloadModelButton.enabled = self._download.state is not State.CANCELLING
            return
        row = self.row
        if row is None or row.offer is None:
            return
        self._download = ModelDownload(row.offer, user_folder(), worker_interpreter(), QtWorkerProcess(), call_later)
        self._download.progress.connect(self._on_progress)
        self._download.finished.connect(self._on_downloaded)
        self._download.failed.connect(self._on_failed)
        self._download.cancelled.connect(lambda: self._end(_("Download canceled. Nothing was installed.")))
        self.ui.downloadProgress.value = 0
        self._say(_("Connecting..."))
        self._download.start()
        self._refresh_buttons()

    def _on_progress(self, fraction: float, message: str, seconds_left: float | None) -> None:
        self.ui.downloadProgress.value = int(100 * fraction)
        left = time_left(seconds_left) if seconds_left is not None else ""
        self._say(", ".join(text for text in (message, left) if text))

    def _on_downloaded(self, _path: Path) -> None:
        key = self._download.offer.key if self._download is not None else ""
        self._changed(_("{model} is installed.").format(model=key), key)

    def _on_failed(self, error: JobError) -> None:
        self._end(_("Not installed: {error}").format(error=error))

    def _end(self, text: str) -> None:
        self._say(text)
        self.refresh()

    def _changed(self, text: str, select: str = "") -> None:
        self._say(text)
        self.refresh(select)
        self._on_change()

    # -- files ----------------------------------------------------------------------------------

    def _on_install(self, *_arguments: Any) -> None:
        kinds = _("Models and catalogues (*.safetensors *.json)")
        file = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Install a model from a file"), "", kinds)
        if not file:
            return
        try:
            path = install_file(Path(file), user_folder())
        except (ValueError, OSError) as error:
            self._say(_("Not installed: {error}").format(error=error))
            return
        keys = [entry.key for entry in self._find() if entry.path == path]
        self._changed(_("{file} is installed.").format(file=Path(file).name), keys[0] if keys else "")

    def _on_remove(self, *_arguments: Any) -> None:
        row = self.row
        if row is None or row.entry is None:
            return
        if self._busy():
            self._say(_("A segmentation is running: remove the model when it has ended."))
            return
        question = _("Delete {model} ({size}) from {folder}?")
        values = {"model": row.title, "size": size_text(row.size), "folder": row.entry.path.parent}
        if not slicer.util.confirmOkCancelDisplay(question.format(**values)):
            return
        try:
            remove(row.entry.path, user_folder())
        except ValueError as error:
            self._say(str(error))
            return
        self._changed(_("{model} was removed.").format(model=row.title))

    def _on_folder(self, *_arguments: Any) -> None:
        folder = user_folder()
        folder.mkdir(parents=True, exist_ok=True)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


def _cells(row: ModelRow) -> list[Cell]:
    size = size_text(row.size)
    return [Cell(row.title, row.title.lower()), Cell(row.state, row.state), Cell(size, float(row.size))]


def _why_not_downloaded(row: ModelRow | None) -> str:
    if row is None:
        return _("Choose a model in the list.")
    return _("This model is here already.") if row.entry is not None else ""


def _why_not_removed(row: ModelRow | None) -> str:
    if row is None or row.entry is None:
        return _("Choose an installed model in the list.")
    return why_kept(row.entry.path, user_folder())


def _offer_text(row: ModelRow | None) -> str:
    offer = row.offer if row is not None else None
    if offer is None:
        return ""
    text = _("Download {size} from {url}; license {license}")
    return text.format(size=size_text(offer.size), url=offer.url, license=offer.license)
