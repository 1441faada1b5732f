"""What a sequence looks like, for people who have volumes with names that say nothing."""

from __future__ import annotations

from DMAFSegmentLib import tr as _
from DMAFTraining.modalities import Modality


def explain(modality: Modality) -> str:
    """How to recognize a sequence, and its other names; only the names when it is not a well-known one."""
    known = {
        "t1": _("T1-weighted without contrast medium: fluid is dark, white matter brighter than gray matter."),
        "t1ce": _("T1-weighted after contrast medium: vessels and enhancing tumor are bright, fluid is dark."),
        "t2": _("T2-weighted: fluid and edema are bright."),
        "flair": _("T2-weighted with suppressed fluid: ventricles are dark, edema is bright."),
        "bssfp": _("Balanced steady-state (cine): blood is bright."),
        "lge": _("Late gadolinium enhancement: scar is bright, healthy heart muscle is dark."),
    }
    spellings = (modality.name.lower(), modality.title.lower(), *modality.aliases)
    look = next((text for name, text in known.items() if name in spellings), "")
    names = _("Also called {names}.").format(names=", ".join(modality.aliases)) if modality.aliases else ""
    return " ".join(part for part in (look, names) if part)
