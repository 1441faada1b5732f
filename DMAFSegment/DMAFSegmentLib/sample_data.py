"""The sample case that ships with the module: a simulated patient to try everything out with."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path

import slicer

from DMAFSegmentLib import MODULE_FOLDER
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node

SAMPLE_FOLDER = MODULE_FOLDER / "Resources" / "SampleData"
_CATEGORY = "DMAF Segment"


@dataclass(frozen=True)
class SampleImage:
    """One sequence of the case; ``sha256`` is the checksum of its file, in hexadecimal digits."""

    sequence: str
    node: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class SampleCase:
    """What ``sample.json`` says; it is written by ``Testing/tools/make_sample_case.py``."""

    name: str
    title: str
    thumbnail: Path
    images: tuple[SampleImage, ...]


def sample_case(folder: Path = SAMPLE_FOLDER) -> SampleCase:
    """Description of the shipped case.

    Raises:
        RuntimeError: the description or an image is missing or unreadable.
    """
    try:
        document = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
        images = tuple(
            SampleImage(entry["sequence"], entry["node"], folder / entry["file"], entry["sha256"])
            for entry in document["images"]
        )
        case = SampleCase(document["name"], document["title"], folder / document["thumbnail"], images)
    except (OSError, ValueError, KeyError) as error:
        raise RuntimeError(_("The sample case cannot be read. Install the extension again.")) from error
    for image in case.images:
        if not image.path.is_file():
            text = _("{file} of the sample case is missing. Install the extension again.")
            raise RuntimeError(text.format(file=image.path.name))
    return case


def load_sample_case(folder: Path = SAMPLE_FOLDER) -> dict[str, Node]:
    """Load the case into the scene; sequence name -> volume. Saving the scene writes copies of the images.

    Raises:
        RuntimeError: a file is missing or unreadable; the scene is as it was before.
    """
    case = sample_case(folder)
    nodes: dict[str, Node] = {}
    try:
        for image in case.images:
            nodes[image.sequence] = slicer.util.loadVolume(str(image.path), {"name": image.node})
    except RuntimeError:
        for node in nodes.values():
            slicer.mrmlScene.RemoveNode(node)
        raise
    for node in nodes.values():
        storage = node.GetStorageNode()
        node.SetAndObserveStorageNodeID(None)  # else saving would write into the extension's folder
        slicer.mrmlScene.RemoveNode(storage)
    return nodes


def register_sample_data() -> None:
    """Show the case in Slicer's Sample Data module, where that module exists."""
    try:
        logic = importlib.import_module("SampleData").SampleDataLogic
        case = sample_case()
    except (ImportError, RuntimeError):
        return  # the module works without: Slicer may be built without Sample Data
    logic.registerCustomSampleDataSource(
        category=_CATEGORY,
        sampleName=case.name,
        uris=[image.path.as_uri() for image in case.images],
        fileNames=[image.path.name for image in case.images],
        nodeNames=[image.node for image in case.images],
        checksums=[f"SHA256:{image.sha256}" for image in case.images],
        thumbnailFileName=str(case.thumbnail),
        loadFileType="VolumeFile",
    )
