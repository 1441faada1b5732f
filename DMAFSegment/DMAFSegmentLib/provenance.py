"""Where a result came from: the worker's record, and which volumes of the scene it was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import NOTICE
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.terminology import unknown_entries
from DMAFTraining.inference.metadata import BundleMetadata


def complete(
    record: Mapping[str, Any], metadata: BundleMetadata, inputs: Mapping[str, Node], reference: Node
) -> dict[str, Any]:
    """The worker's record with what only Slicer knows: the volumes by sequence, and its own version.

    A run that failed has no record of the worker; the model and the notice are named in any case.
    """
    scene = {
        "slicer": str(slicer.app.applicationVersion),
        "volumes": {name: node.GetName() for name, node in inputs.items()},
        "reference": reference.GetName(),
        "labels_without_code": unknown_entries(metadata.labels),
    }
    return {"notice": NOTICE, "model": {"name": metadata.name, "version": metadata.version}, **record, "scene": scene}


def read(text: str) -> dict[str, Any]:
    """A record from its text; empty when there is none or it is damaged."""
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def summary(document: Mapping[str, Any]) -> str:
    """The record for people: the main facts in lines, then all of it as JSON."""
    model, volumes = document.get("model", {}), document.get("scene", {}).get("volumes", {})
    facts = [
        (_("Model"), " ".join(str(model[key]) for key in ("name", "version") if key in model)),
        (_("Model checksum"), model.get("sha256")),
        *((_("Input {name}").format(name=name), volume) for name, volume in volumes.items()),
        (_("Device"), document.get("device")),
        (_("Precision"), document.get("precision")),
        (_("Seconds"), document.get("seconds")),
        (_("Finished"), document.get("created")),
        *((_("Warning"), text) for text in document.get("warnings", [])),
        (_("Incomplete"), document.get("incomplete")),
    ]
    lines = [f"{title}: {value}" for title, value in facts if value not in (None, "")]
    return "\n".join([str(document.get("notice", NOTICE)), *lines, "", json.dumps(document, indent=1)])
