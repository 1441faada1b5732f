"""In Slicer and on the stand-in: the sample case is segmented by the real worker with the shipped model."""

# ruff: noqa: PT009 - Slicer has no pytest
from __future__ import annotations

import importlib.util
import unittest

import slicer

TRUE_VOLUME_ML = 62.8  # of the simulated tumor: 7849 voxels of 8 mm3


@unittest.skipUnless(importlib.util.find_spec("safetensors"), "needs safetensors: the module installs it on request")
@unittest.skipUnless(importlib.util.find_spec("torch"), "needs PyTorch: install it with Slicer's PyTorch extension")
class SegmentingTest(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_the_sample_case_is_segmented(self) -> None:
        from DMAFSegment import DMAFSegmentLogic
        from DMAFSegmentLib.sample_data import load_sample_case

        nodes = load_sample_case()
        full, flair = DMAFSegmentLogic().process(nodes, subsets=[list(nodes), ["flair"]], device="cpu")
        for node in (full, flair):
            self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 3)
        self.assertAlmostEqual(volume_ml(full, nodes["t1"]), TRUE_VOLUME_ML, delta=0.3 * TRUE_VOLUME_ML)
        reference = full.GetNodeReference(full.GetReferenceImageGeometryReferenceRole())
        self.assertIs(reference, nodes["t1"])


def volume_ml(segmentation, reference) -> float:
    """Voxels that belong to any segment, on the grid of the reference volume."""
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    masks = [slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, reference) > 0 for name in ids]
    spacing = reference.GetSpacing()
    return float(sum(masks).astype(bool).sum()) * spacing[0] * spacing[1] * spacing[2] / 1000
