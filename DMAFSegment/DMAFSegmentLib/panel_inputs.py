"""The input selectors of the panel: one per sequence of the model, filled by detection or by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute
from DMAFSegmentLib.detection import Confidence, Guess, detect, dicom_tag
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.sequences import explain
from DMAFTraining.modalities import ModalitySet

_VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


class InputSelectors:
    """One optional volume selector per sequence of the model."""

    def __init__(self, area: Any, on_change: Callable[[], None]) -> None:
        self.combos: dict[str, Any] = {}
        self.chosen_by_user: set[str] = set()
        self._area, self._on_change = area, on_change
        self._modalities: ModalitySet | None = None
        self._filling = False
        self._shown: dict[str, str | None] = {}
        self._doubtful: set[str] = set()

    def rebuild(self, modalities: ModalitySet) -> None:
        """Make the selectors of another model; sequences of the same name keep their volume."""
        if modalities == self._modalities:
            return
        before, self._modalities = self.nodes(), modalities
        form = self._area.layout()
        while form.rowCount():
            form.removeRow(0)
        self.combos = {}
        for modality in modalities:
            combo = slicer.qMRMLNodeComboBox()
            combo.objectName = f"input_{modality.name}"
            combo.nodeTypes = [_VOLUME_CLASS]
            combo.showChildNodeTypes = False
            combo.noneEnabled, combo.addEnabled, combo.removeEnabled = True, False, False
            combo.noneDisplay = _("None (missing)")
            combo.accessibleName = _("{sequence} volume").format(sequence=modality.title)
            combo.setMRMLScene(slicer.mrmlScene)
            label = qt.QLabel(modality.title + ":")
            label.setBuddy(combo)
            form.addRow(label, combo)
            self.combos[modality.name] = combo
            self._set(modality.name, before.get(modality.name))
            combo.connect(
                "currentNodeChanged(vtkMRMLNode*)", lambda node, name=modality.name: self._changed(name, node)
            )

    def tab_order(self, following: Any) -> None:
        """Put the selectors before another widget in the keyboard order."""
        for earlier, later in itertools.pairwise([*self.combos.values(), following]):
            qt.QWidget.setTabOrder(earlier, later)

    def nodes(self) -> dict[str, Node]:
        """Chosen volumes by sequence name, in channel order."""
        found = {name: combo.currentNode() for name, combo in self.combos.items()}
        return {name: node for name, node in found.items() if node is not None}

    def detect(self) -> None:
        """Fill what the user has not chosen by hand from the volumes in the scene."""
        volumes = [v for v in slicer.util.getNodesByClass(_VOLUME_CLASS) if not attribute(v, "Kind")]  # no maps of ours
        taken = {node.GetID() for name, node in self.nodes().items() if name in self.chosen_by_user}
        free = [volume for volume in volumes if volume.GetID() not in taken]
        guesses = detect(free, self._modalities, dicom_tag) if self._modalities else {}
        for name in self.combos:
            if name not in self.chosen_by_user:
                guess = guesses.get(name)
                self._set(name, guess.node if guess else None)
                if guess is not None:
                    self._explain(name, _why(guess))
                    if guess.confidence is Confidence.LOW:
                        self._doubtful.add(name)
        self._on_change()

    def doubts(self) -> str:
        """Which volumes were guessed with low confidence, as a sentence; empty without any."""
        titles = [m.title for m in self._modalities or () if m.name in self._doubtful]
        text = _("Please check what was chosen for {sequences}: the tooltip says why.")
        return text.format(sequences=", ".join(titles)) if titles else ""

    def restore(self, nodes: dict[str, Node], chosen: set[str]) -> None:
        """Show the volumes of a saved scene."""
        self.chosen_by_user = chosen & set(self.combos)
        for name in self.combos:
            self._set(name, nodes.get(name))

    def _set(self, name: str, node: Node | None) -> None:
        self._filling = True
        self.combos[name].setCurrentNode(node)
        self._shown[name] = node.GetID() if node is not None else None
        self._filling = False
        self._doubtful.discard(name)
        self._explain(name, "")

    def _explain(self, name: str, reason: str) -> None:
        if self._modalities is None:
            return
        modality, combo = self._modalities[name], self.combos[name]
        hint = _("{sequence} volume; leave at None when it does not exist.").format(sequence=modality.title)
        combo.toolTip = "\n".join(line for line in (hint, explain(modality), reason) if line)
        combo.accessibleDescription = reason or hint  # a screen reader does not read tooltips

    def _changed(self, name: str, node: Node | None) -> None:
        before = self._shown.get(name)
        self._shown[name] = node.GetID() if node is not None else None
        if self._filling:
            return
        self._doubtful.discard(name)
        removed = node is None and before is not None and slicer.mrmlScene.GetNodeByID(before) is None
        if removed:
            self.chosen_by_user.discard(name)
        else:
            self.chosen_by_user.add(name)
            self._explain(name, _("Chosen by you.") if node is not None else "")
        self._on_change()


def _why(guess: Guess) -> str:
    text = _("Chosen because of {reason} ({sure}).").format(reason=guess.reason, sure=guess.confidence.words)
    return text if guess.confidence > Confidence.LOW else text + " " + _("Please check it.")
