"""What segments mean in codes: Slicer's own lists have no enhancing tumor, so the module brings its list."""

from __future__ import annotations

import json
from collections.abc import Iterable

import slicer

from DMAFSegmentLib import MODULE_FOLDER
from DMAFTraining.inference.metadata import Label, Region

FILE = MODULE_FOLDER / "Resources" / "Terminology" / "DMAFSegment.term.json"
_ALTERED = "SCT^49755003^Morphologically Altered Structure"
_LESION = "SCT^52988006^Lesion"

Code = tuple[str, str]


def load_terminology() -> None:
    """Make Slicer know the codes of our segments."""
    slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(FILE))


def unknown_entries(labels: Iterable[Label]) -> list[str]:
    """Names of the labels whose code is missing in the module's list, or who have none.

    An entry reads ``context~category~type~modifier~...``, each part ``scheme^code^meaning``.
    """
    document = json.loads(FILE.read_text(encoding="utf-8"))
    context = document["SegmentationCategoryTypeContextName"]
    known = {
        (context, _code_of(category), _code_of(kind))
        for category in document["SegmentationCodes"]["Category"]
        for kind in category["Type"]
    }
    return [label.name for label in labels if _parts(label.terminology) not in known]


def region_entry(region: Region, labels: Iterable[Label]) -> str:
    """Terminology entry of a region: its label's if it has one only, else "Lesion" at the same place of the body.

    Empty when its labels are not all altered structures of one place: then no code would be true.
    """
    entries = [label.terminology for label in labels if label.value in region.labels]
    if len(entries) == 1:
        return entries[0]
    parts = [entry.split("~") for entry in entries]
    if any(len(part) < 5 or part[1] != _ALTERED for part in parts) or len({tuple(part[4:]) for part in parts}) != 1:
        return ""
    return "~".join([parts[0][0], _ALTERED, _LESION, "^^", *parts[0][4:]])


def _code_of(item: dict[str, str]) -> Code:
    return item["CodingSchemeDesignator"], item["CodeValue"]


def _parts(entry: str) -> tuple[str, Code, Code] | None:
    parts = entry.split("~")
    if len(parts) < 3:
        return None
    (category_scheme, category_code), (scheme, code) = (part.split("^")[:2] for part in parts[1:3])
    return parts[0], (category_scheme, category_code), (scheme, code)
