"""Names, colors, codes and regions of the MyoPS labels.

The published experiments merge normal myocardium, edema and scar into one class before training.
The labels with the parts apart serve runs that merge at evaluation only, as the papers' code does.
"""

from __future__ import annotations

from DMAFTraining.inference.metadata import Label, Region

_CONTEXT = "Segmentation category and type - DMAFSegment"
_ANATOMY = "SCT^123037004^Anatomical Structure"
_ALTERED = "SCT^49755003^Morphologically Altered Structure"
_HEART = "Anatomic codes - DICOM master list~SCT^80891009^Heart~^^"
_MYOCARDIUM = f"{_CONTEXT}~{_ANATOMY}~SCT^74281007^Myocardium~^^~{_HEART}"
_LEFT = f"{_CONTEXT}~{_ANATOMY}~SCT^87878005^Left ventricle~^^~{_HEART}"
_RIGHT = f"{_CONTEXT}~{_ANATOMY}~SCT^53085002^Right ventricle~^^~{_HEART}"
_EDEMA = f"{_CONTEXT}~{_ALTERED}~SCT^79654002^Edema~^^~{_HEART}"
_SCAR = f"{_CONTEXT}~{_ALTERED}~SCT^12402003^Scar~^^~{_HEART}"

LABELS = (
    Label(1, "Left ventricle blood pool", (214, 69, 65), _LEFT),
    Label(2, "Right ventricle blood pool", (68, 121, 196), _RIGHT),
    Label(3, "Myocardium", (240, 190, 90), _MYOCARDIUM),
)
"""Label values of the merged label map."""

REGIONS = (
    Region("LVB", "Left ventricle blood pool", (1,)),
    Region("RVB", "Right ventricle blood pool", (2,)),
    Region("MYO", "Myocardium", (3,)),
)
"""The regions accuracy is reported on."""

PART_LABELS = (
    Label(1, "Normal myocardium", (240, 190, 90), _MYOCARDIUM),
    Label(2, "Left ventricle blood pool", (214, 69, 65), _LEFT),
    Label(3, "Right ventricle blood pool", (68, 121, 196), _RIGHT),
    Label(4, "Myocardial edema", (92, 188, 96), _EDEMA),
    Label(5, "Myocardial scar", (150, 110, 180), _SCAR),
)
"""Label values with the parts of the myocardium apart."""

PART_REGIONS = (
    Region("LVB", "Left ventricle blood pool", (2,)),
    Region("RVB", "Right ventricle blood pool", (3,)),
    Region("MYO", "Myocardium", (1, 4, 5)),
)
"""The same regions for those values."""
