"""Which maps a run makes: the boxes before Apply, and why one of them cannot be ticked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.comparison_maps import contribution_obstacle
from DMAFSegmentLib.settings import Settings
from DMAFTraining.inference.metadata import BundleMetadata


class MapChoice:
    """Three boxes. ``changed()`` is called when the user ticks one; a tick stays while its box is out of reach."""

    def __init__(self, ui: Any, changed: Callable[..., None]) -> None:
        self._boxes = {
            "uncertainty": ui.uncertaintyCheckBox,
            "agreement": ui.agreementCheckBox,
            "contribution": ui.contributionCheckBox,
        }
        for box in self._boxes.values():
            box.connect("toggled(bool)", changed)

    def show(self, settings: Settings) -> None:
        """Tick what is stored."""
        for name, box in self._boxes.items():
            box.checked = getattr(settings, name)

    def settings(self) -> dict[str, Any]:
        """What is ticked, to be stored."""
        return {name: box.checked for name, box in self._boxes.items()}

    def offer(self, metadata: BundleMetadata, subsets: int) -> None:
        """Enable what this model can make of so many subsets; tooltips say why not the rest."""
        one = _("There is nothing to agree on in one result: choose more subsets under Compare.") if subsets < 2 else ""
        self._enable("agreement", one, _("Also make a volume per region: how many of the subsets show it"))
        cannot = contribution_obstacle(metadata)
        told = _("Also make a volume per sequence: its share in what the network mixes")
        self._enable("contribution", cannot, told)

    def request(self) -> tuple[str, ...]:
        """Names of the maps as the worker knows them."""
        known = {"uncertainty": "entropy"}
        return tuple(known.get(name, name) for name, box in self._boxes.items() if box.checked and box.enabled)

    def _enable(self, name: str, reason: str, told: str) -> None:
        self._boxes[name].enabled = not reason
        self._boxes[name].toolTip = reason or told
