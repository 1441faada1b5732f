"""Export of a result as a DICOM SEG file, by the plugin that Slicer (5.12 and newer) or QuantitativeReporting has."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute
from DMAFSegmentLib.geometry import Node

_PLUGIN = "DICOMSegmentationPlugin"


class ExportError(RuntimeError):
    """The file was not written; the message says why."""


def obstacle(segmentation: Node | None) -> str:
    """Why a segmentation cannot be exported, in one sentence; empty when it can."""
    if segmentation is None or not attribute(segmentation, "Subset"):
        return _("Choose a segmentation made by this module first.")
    if importlib.util.find_spec(_PLUGIN) is None:
        return _("This Slicer cannot write DICOM SEG. Use Slicer 5.12, or install the extension QuantitativeReporting.")
    volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    if volume is None:
        return _("The volume this result lies on is no longer in the scene.")
    instances = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    if not instances:
        return _('"{volume}" was not loaded from DICOM. Load it with the DICOM module and segment it again.').format(
            volume=volume.GetName()
        )
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen or not all(database.fileForInstance(uid) for uid in instances):
        return _('Files of "{volume}" are missing in the DICOM database. Import them again.').format(
            volume=volume.GetName()
        )
    return ""


def export(segmentation: Node, path: Path) -> None:
    """Write a DICOM SEG file, whole or not at all; empty segments are left out.

    Raises:
        ExportError: the plugin could not write it.
    """
    plugin = importlib.import_module(_PLUGIN)
    exporter = plugin.DICOMSegmentationExporter(segmentation)
    partial = path.with_name(f".part-{path.name}")
    try:
        exporter.export(str(path.parent), partial.name, _metadata(segmentation), skipEmpty=True)
        os.replace(partial, path)
    except Exception as error:  # the plugin's own errors have no common class
        raise ExportError(_("The DICOM SEG file was not written. {reason}").format(reason=error)) from error
    finally:
        partial.unlink(missing_ok=True)
        exporter.cleanup()


def _metadata(segmentation: Node) -> dict[str, str]:
    """Series description: what a PACS shows; at most 64 characters, as DICOM allows."""
    text = f"{attribute(segmentation, 'Model')} {attribute(segmentation, 'Title')}, research use only"
    return {"SeriesDescription": text[:64]}
