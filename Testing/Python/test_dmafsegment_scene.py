"""In Slicer and on the stand-in: the sample case, saved scenes, codes, refusals. Needs no PyTorch."""

# ruff: noqa: PT009, PT027 - Slicer has no pytest
from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import slicer


class SceneTest(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_sequences_of_the_sample_case_are_recognized(self) -> None:
        from DMAFSegmentLib.detection import detect
        from DMAFSegmentLib.sample_data import load_sample_case
        from DMAFTraining.modalities import BRATS

        nodes = load_sample_case()
        found = detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)
        self.assertEqual({name: guess.node.GetID() for name, guess in found.items()}, ids(nodes))

    def test_a_saved_scene_remembers_the_settings(self) -> None:
        from DMAFSegment import DMAFSegmentLogic
        from DMAFSegmentLib.sample_data import load_sample_case
        from DMAFSegmentLib.settings import Settings
        from DMAFSegmentLib.subset_choice import SubsetChoice

        nodes = load_sample_case()
        inputs = {"t1": nodes["t1"], "flair": nodes["t2"]}
        before = Settings(device="cpu", subsets=SubsetChoice("all"), inputs=inputs, chosen={"flair"})
        before.save(DMAFSegmentLogic().getParameterNode())
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(path)
        after = Settings.load(DMAFSegmentLogic().getParameterNode())
        self.assertEqual((after.device, after.subsets.mode, after.chosen), ("cpu", "all", {"flair"}))
        names = {name: node.GetName() for name, node in after.inputs.items()}
        self.assertEqual(names, {"t1": "Simulated_T1", "flair": "Simulated_T2"})

    def test_slicer_knows_our_terminology(self) -> None:
        logic = slicer.modules.terminologies.logic()
        context = "Segmentation category and type - DMAFSegment"
        self.assertGreaterEqual(logic.GetNumberOfCategoriesInTerminology(context), 1)

    def test_unusable_inputs_are_refused_with_a_sentence(self) -> None:
        from DMAFSegment import DMAFSegmentLogic

        logic = DMAFSegmentLogic()
        with self.assertRaisesRegex(RuntimeError, "at least one input"):
            logic.process({})
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with self.assertRaisesRegex(RuntimeError, "T1"):
            logic.process({"t1": empty})


def ids(nodes: dict) -> dict[str, str]:
    return {name: node.GetID() for name, node in nodes.items()}
