"""Names, colors, codes and regions of the BraTS labels (stored as 1, 2, 3; BraTS writes ET as 4)."""

from __future__ import annotations

from DMAFTraining.inference.metadata import Label, Region

_CONTEXT = "Segmentation category and type - DMAFSegment"
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"
_BRAIN = "Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"


def _terminology(code: str) -> str:
    return f"{_CONTEXT}~{_CATEGORY}~{code}~^^~{_BRAIN}"


LABELS = (
    Label(1, "Necrotic core", (226, 77, 66), _terminology("SCT^6574001^Necrosis")),
    Label(2, "Edema", (92, 188, 96), _terminology("SCT^79654002^Edema")),
    Label(3, "Enhancing tumor", (247, 200, 66), _terminology("NCIt^C113842^Enhancing Lesion")),
)
"""Label values of every label map and bundle; NCR also stands for non-enhancing core."""

REGIONS = (
    Region("WT", "Whole tumor", (1, 2, 3)),
    Region("TC", "Tumor core", (1, 3)),
    Region("ET", "Enhancing tumor", (3,)),
)
"""The nested regions accuracy is reported on."""
