"""The device selector of the panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from DMAFSegmentLib.devices import AUTOMATIC, Device, read_devices, unknown_devices, usable, with_choice


class DeviceSelector:
    """Lists the devices of the worker once they are known; a stored choice stays visible even when it is gone."""

    def __init__(self, combo: Any, on_change: Callable[[], None]) -> None:
        self._combo, self._on_change = combo, on_change
        self._devices: list[Device] = unknown_devices()
        self._known = self._filling = False
        self._choice = AUTOMATIC
        self._fill()
        combo.connect("currentIndexChanged(int)", self._on_chosen)

    @property
    def choice(self) -> str:
        """What the user chose, for the scene to remember."""
        return self._choice

    @property
    def known(self) -> bool:
        """Has the worker said what there is?"""
        return self._known

    @property
    def value(self) -> str:
        """What the worker is told: the choice, or "auto" when it is known not to work."""
        return usable(with_choice(self._devices, self._choice, self._known), self._choice)

    def choose(self, value: str) -> None:
        """Show a stored choice."""
        self._choice = value
        self._fill()

    def show_answer(self, text: str) -> str:
        """Take over the worker's list; returns why none of the devices works, or "".

        Raises:
            ValueError: there is no list in the text; nothing was changed.
        """
        self._devices, problem = read_devices(text)
        self._known = True
        if self._choice == "cuda":  # "any card" of older scenes
            self._choice = next((d.value for d in self._devices if d.value.startswith("cuda")), "cuda")
        self._fill()
        return problem

    def summary(self) -> list[str]:
        """Titles of the devices that work, and why the others do not."""
        return [device.problem or device.title for device in self._devices[1:]]

    def _fill(self) -> None:
        devices = with_choice(self._devices, self._choice, self._known)
        self._filling = True
        self._combo.clear()
        for index, device in enumerate(devices):
            self._combo.addItem(device.title, device.value)
            self._combo.setItemData(index, device.problem, qt.Qt.ToolTipRole)
        self._combo.currentIndex = [device.value for device in devices].index(self._choice)
        self._filling = False

    def _on_chosen(self, *_arguments: Any) -> None:
        if not self._filling:
            self._choice = self._combo.itemData(self._combo.currentIndex)
            self._on_change()
