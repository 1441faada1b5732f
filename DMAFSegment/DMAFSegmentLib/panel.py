"""The panel: what the user sees and presses. It asks the logic for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.expectation import summary
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.inputs import check, far_apart
from DMAFSegmentLib.models import ModelEntry, user_folder
from DMAFSegmentLib.panel_environment import Environment
from DMAFSegmentLib.panel_inputs import InputSelectors
from DMAFSegmentLib.panel_map_choice import MapChoice
from DMAFSegmentLib.panel_models import ModelSection
from DMAFSegmentLib.panel_preprocessing import PreprocessingChoice
from DMAFSegmentLib.panel_results import ResultView
from DMAFSegmentLib.panel_run import RunControl
from DMAFSegmentLib.panel_sample import SampleOffer
from DMAFSegmentLib.panel_subsets import SubsetControls
from DMAFSegmentLib.results import ResultOptions
from DMAFSegmentLib.settings import Settings


class Panel:
    """Connects the widgets of the .ui file with the logic; knows nothing of Slicer's module classes."""

    def __init__(self, ui: Any, logic: Any, settings_node: Callable[[], Node]) -> None:
        self.ui, self.logic, self._settings_node = ui, logic, settings_node
        self.models: list[ModelEntry] = []
        self._quiet = False  # true while widgets are filled by us
        self.selectors = InputSelectors(ui.selectorsArea, self._on_input_changed)
        self.sample = SampleOffer(ui.sampleButton, self.selectors)
        self.subsets = SubsetControls(ui, self._on_input_changed)
        self.maps = MapChoice(ui, self._save)
        self.results = ResultView(ui)
        self.environment = Environment(ui, logic, self._on_check, self._save)
        self.preprocessing = PreprocessingChoice(ui, self.environment.install, self._on_input_changed)
        inputs = [ui.selectorsArea, ui.modelComboBox, ui.deviceComboBox, ui.subsetsArea]
        inputs += [ui.preprocessingArea, ui.alignedArea]  # a scan that moves during a run no longer fits its result
        self.run = RunControl(ui, logic, self.results, self.environment, self.problems, self.request, inputs)
        self._fill_models()
        self.model_section = ModelSection(ui, logic.models, lambda: logic.running, self._on_models_changed)
        self._connect()

    def _connect(self) -> None:
        ui = self.ui
        ui.modelComboBox.connect("currentIndexChanged(int)", self._on_model_changed)
        for box in (ui.regionsCheckBox, ui.replaceCheckBox):
            box.connect("toggled(bool)", self._save)

    # -- inputs and model -----------------------------------------------------------------------

    @property
    def model(self) -> ModelEntry | None:
        """The chosen model, or None when there is none at all."""
        index = self.ui.modelComboBox.currentIndex
        return self.models[index] if 0 <= index < len(self.models) else None

    def restore(self) -> None:
        """Show what the parameter node holds, then detect the rest."""
        settings = Settings.load(self._settings_node())
        self._quiet = True
        keys = [model.key for model in self.models]
        if settings.model in keys:
            self.ui.modelComboBox.currentIndex = keys.index(settings.model)
        self.environment.devices.choose(settings.device)
        self.subsets.show(settings.subsets)
        self.ui.regionsCheckBox.checked = settings.regions
        self.maps.show(settings)
        self.ui.replaceCheckBox.checked = settings.replace
        self.preprocessing.show(settings)
        self._quiet = False
        self._show_model()
        self.selectors.restore(settings.inputs, settings.chosen)
        self.selectors.detect()
        self.results.restore()

    def _fill_models(self) -> None:
        self._quiet = True
        self.models = self.logic.models()
        self.ui.modelComboBox.clear()
        for model in self.models:
            self.ui.modelComboBox.addItem(model.title)
        self._quiet = False

    def _on_model_changed(self, *_arguments: Any) -> None:
        if not self._quiet:
            self._show_model()
            self.selectors.detect()

    def _on_models_changed(self) -> None:
        """A model came or went: the choice stays where it can."""
        key = self.model.key if self.model is not None else ""
        self._fill_models()
        keys = [model.key for model in self.models]
        self._quiet = True
        self.ui.modelComboBox.currentIndex = keys.index(key) if key in keys else 0
        self._quiet = False
        self._on_model_changed()

    def _show_model(self) -> None:
        model = self.model
        missing = _("No model found. Install one under Models, or put its file into {folder}.")
        missing = missing.format(folder=user_folder())
        self.ui.modelDescriptionLabel.text = model.description if model else missing
        self.ui.modelComboBox.toolTip = "\n".join(
            [
                *([model.title, str(model.path)] if model else []),
                _("More models: {folder}").format(folder=user_folder()),
            ]
        )
        if model is not None and model.metadata is not None:
            self.preprocessing.offer(model.metadata)
            self.selectors.rebuild(model.metadata.modalities)
            self.selectors.tab_order(self.ui.modelComboBox)
            self.model_section.select(model.key)

    def _on_input_changed(self, *_arguments: Any) -> None:
        if self._quiet:
            return
        model = self.model
        if model is not None and model.metadata is not None:
            nodes, scans = self.selectors.nodes(), self.preprocessing.request().suited_to(model.metadata)
            apart = far_apart(nodes, model.metadata.modalities) if scans.may_move else ""
            lines = [summary(nodes, model.metadata), self.selectors.doubts(), apart]
            self.ui.summaryLabel.text = " ".join(line for line in lines if line)
            self.subsets.offer({name: model.metadata.modalities[name].title for name in self.selectors.nodes()})
            self.maps.offer(model.metadata, len(self.subsets.choice.subsets(list(self.selectors.nodes()))))
        self.sample.refresh()
        self._save()
        self.run.refresh()

    def _save(self, *_arguments: Any) -> None:
        if self._quiet:
            return
        ui, model = self.ui, self.model
        Settings(
            model=model.key if model else "",
            device=self.environment.devices.choice,
            subsets=self.subsets.choice,
            inputs=self.selectors.nodes(),
            chosen=self.selectors.chosen_by_user,
            regions=ui.regionsCheckBox.checked,
            **self.maps.settings(),
            replace=ui.replaceCheckBox.checked,
            **self.preprocessing.settings(),
        ).save(self._settings_node())

    def _on_check(self) -> None:
        """Somebody looked what the worker's Python holds, or is changing that."""
        self.preprocessing.show_tools(self.environment.check)
        self.run.refresh()

    def problems(self) -> list[str]:
        """Why Apply is disabled, in sentences; empty when it is not."""
        model = self.model
        if model is None or model.metadata is None:
            return [self.ui.modelDescriptionLabel.text]
        scans = self.preprocessing.request().suited_to(model.metadata)
        found = check(self.selectors.nodes(), model.metadata.modalities, scans.may_move)
        return [*self.environment.problems(), *found, *self.preprocessing.problems(), *self.subsets.problems()]

    def request(self) -> dict[str, Any]:
        """What a run is asked for: the options of the logic's ``prepare``."""
        inputs = self.selectors.nodes()
        return {
            "inputs": inputs,
            "subsets": self.subsets.choice.request(list(inputs)),
            "model": self.model,
            "device": self.environment.devices.value,
            "maps": self.maps.request(),
            "scans": self.preprocessing.request(),
            "options": ResultOptions(self.ui.regionsCheckBox.checked, self.ui.replaceCheckBox.checked),
        }

    # -- scene ----------------------------------------------------------------------------------

    def scene_closing(self) -> None:
        """Stop what runs and let go of everything that is about to disappear."""
        self.pause()
        self.logic.abandon()
        self.results.leave_views()

    def close(self) -> None:
        """The panel goes away: nothing of it runs on."""
        self.environment.close()
        self.model_section.shutdown()
        self.results.leave_views()

    def pause(self) -> None:
        """Ignore the selectors until :meth:`restore`: what they lose or gain meanwhile is nobody's choice."""
        self._quiet = True

    def volumes_changed(self) -> None:
        """Volumes came or went: detect again, except what the user chose, and not during a run."""
        if not self.logic.running and not self._quiet:
            self.selectors.detect()
            self.results.refresh()
