"""The button that loads the sample case: there while nothing is chosen, and where the model can use the case."""

from __future__ import annotations

from typing import Any

import slicer

from DMAFSegmentLib.panel_inputs import InputSelectors
from DMAFSegmentLib.sample_data import load_sample_case, sample_case


class SampleOffer:
    """Offers the sample case to who has no images yet."""

    def __init__(self, button: Any, selectors: InputSelectors) -> None:
        self._button, self._selectors = button, selectors
        try:
            self._sequences = {image.sequence for image in sample_case().images}
        except RuntimeError:
            self._sequences = set()
        button.connect("clicked(bool)", self._on_clicked)

    def refresh(self) -> None:
        """Show or hide the button."""
        useful = bool(self._sequences & set(self._selectors.combos))
        self._button.visible = useful and not self._selectors.nodes()

    def _on_clicked(self, *_arguments: Any) -> None:
        self._selectors.chosen_by_user.clear()  # who asks for the case wants it chosen
        try:
            load_sample_case()
        except RuntimeError as error:
            slicer.util.errorDisplay(str(error))
        self._selectors.detect()
