"""What is done with the scans before the network sees them: the choices, and in words what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.install import BRAIN_TOOLS, Check
from DMAFSegmentLib.panel_install import InstallControl
from DMAFSegmentLib.scan_request import BRAINS, REGISTRATIONS, TOOL_TITLES, ScanRequest, works_on_slices
from DMAFSegmentLib.settings import Settings
from DMAFTraining.inference.metadata import BundleMetadata

_OFFERED = "deepbet"  # the tool that can be installed from here: small, and its weights come with it


class PreprocessingChoice:
    """The section's selectors and boxes; ``changed()`` is called when the user sets one.

    ``install`` gets the package that extracts the brain.
    """

    def __init__(self, ui: Any, install: InstallControl, changed: Callable[..., None]) -> None:
        self.ui, self._install, self._changed = ui, install, changed
        self._slices = False
        self._check: Check | None = None
        self._fill()
        for combo in (ui.registrationComboBox, ui.brainComboBox):
            combo.connect("currentIndexChanged(int)", self._on_change)
        for box in (ui.biasCheckBox, ui.nativeCheckBox):
            box.connect("toggled(bool)", self._on_change)
        ui.maskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_change)
        ui.brainToolButton.connect("clicked(bool)", lambda: install.install([BRAIN_TOOLS[_OFFERED]]))
        self._refresh()

    def show(self, settings: Settings) -> None:
        """Show what is stored."""
        ui = self.ui
        ui.registrationComboBox.currentIndex = REGISTRATIONS.index(settings.registration)
        ui.brainComboBox.currentIndex = BRAINS.index(settings.brain)
        ui.maskSelector.setCurrentNode(settings.mask)
        ui.biasCheckBox.checked, ui.nativeCheckBox.checked = settings.bias, settings.native
        self._refresh()

    def settings(self) -> dict[str, Any]:
        """What is chosen, to be stored."""
        request = self._chosen()
        return {
            "registration": request.registration,
            "brain": request.brain,
            "mask": request.mask,
            "bias": request.bias_correction,
            "native": request.native,
        }

    def offer(self, metadata: BundleMetadata) -> None:
        """Another model: those of slices get their scans as they are."""
        self._slices = works_on_slices(metadata)
        self._refresh()

    def show_tools(self, check: Check | None) -> None:
        """Tell what the worker's Python can extract a brain with."""
        self._check = check
        self._refresh()

    def request(self) -> ScanRequest:
        """What the worker is asked for, whatever the model makes of it."""
        return self._chosen()

    def problems(self) -> list[str]:
        """Why nothing can be run with these choices; empty when it can."""
        if self._slices:
            return []
        brain, check = self._chosen().brain, self._check
        found = self._chosen().problems()
        if brain in BRAIN_TOOLS and check is not None and check.ready and brain not in check.brain_tools:
            text = _("{tool} is not installed. Choose another brain extraction under Preprocessing, or install it.")
            found.append(text.format(tool=TOOL_TITLES[brain]))
        return found

    def _fill(self) -> None:
        registrations = {"auto": _("Automatic"), "on": _("Always"), "off": _("Never")}
        for value in REGISTRATIONS:
            self.ui.registrationComboBox.addItem(registrations[value], value)
        brains = {"auto": _("Automatic"), "mask": _("Mask from the scene"), "off": _("Off - already the brain")}
        for value in BRAINS:
            self.ui.brainComboBox.addItem(brains.get(value) or TOOL_TITLES[value], value)

    def _chosen(self) -> ScanRequest:
        ui = self.ui
        registration = ui.registrationComboBox.itemData(ui.registrationComboBox.currentIndex)
        brain = ui.brainComboBox.itemData(ui.brainComboBox.currentIndex)
        mask = ui.maskSelector.currentNode()
        return ScanRequest(registration, brain, mask, ui.biasCheckBox.checked, ui.nativeCheckBox.checked)

    def _on_change(self, *_arguments: Any) -> None:
        self._refresh()
        self._changed()

    def _refresh(self) -> None:
        ui, request = self.ui, self._chosen()
        words, sentence = request.title(), request.sentence()
        if self._slices:
            words = _("none for this model")
            sentence = _("This model works on single slices: its scans are taken as they are.")
        ui.preprocessingButton.text = _("Preprocessing: {words}").format(words=words)
        ui.preprocessingButton.toolTip = ui.preprocessingLabel.text = sentence
        ui.preprocessingForm.enabled = not self._slices
        ui.preprocessingForm.toolTip = sentence if self._slices else ""
        ui.maskSelector.enabled = request.brain == "mask"
        ui.maskSelector.toolTip = (
            _("Label map or segmentation of the brain; every segment of it counts")
            if request.brain == "mask"
            else _('Choose "Mask from the scene" as brain extraction first.')
        )
        self._refresh_tool()

    def _refresh_tool(self) -> None:
        label, button, check = self.ui.brainToolLabel, self.ui.brainToolButton, self._check
        label.visible = button.visible = False
        if check is None or not check.python or self._slices:
            return
        label.visible = True
        if check.brain_tools:
            tools = ", ".join(TOOL_TITLES[name] for name in check.brain_tools)
            label.text = _("Installed for brain extraction: {tools}.").format(tools=tools)
            return
        line = BRAIN_TOOLS[_OFFERED]
        missing = _("No program for brain extraction is installed: scans with a skull will be refused.")
        here = "" if check.ours else _("Install one there: {command}").format(command=check.command([line]))
        label.text = " ".join(text for text in (self._install.problem_with(line), missing, here) if text)
        button.visible = check.ours
        button.enabled = check.ready and not self._install.installer.running
        button.toolTip = (
            _("Show what would be installed, with sizes, and ask")
            if button.enabled
            else _("Wait until what every segmentation needs is installed.")
        )
