"""The shipped model: its stored weights must keep meaning the same network."""

from __future__ import annotations

from pathlib import Path

import torch

from DMAFTraining.inference.bundle import load_bundle

BUNDLE = Path(__file__).parents[2] / "Resources" / "Models" / "brats-unet-2mm.safetensors"
EXPECTED = {  # (t1, t1ce, flair, t2), voxel: class probabilities, from the program that trained it
    ((True, False, False, False), (44, 30, 42)): (0.27685, 0.24094, 0.26821, 0.21401),
    ((False, False, True, False), (44, 22, 27)): (0.32799, 0.14536, 0.18108, 0.34558),
    ((True, True, False, False), (27, 34, 32)): (0.42294, 0.30188, 0.24993, 0.02525),
    ((True, True, True, False), (2, 24, 25)): (0.11989, 0.11312, 0.37998, 0.38701),
    ((True, True, True, True), (2, 21, 23)): (0.20284, 0.17778, 0.30530, 0.31408),
}


def _waves() -> torch.Tensor:
    x, y, z = torch.meshgrid(*(torch.arange(48.0) for _ in range(3)), indexing="ij")
    return torch.stack([(x / (5 + m)).sin() + (y / (4 + m) + m).cos() + ((x + z) / 7 - m).sin() for m in range(4)])


def test_probabilities_are_those_of_the_program_that_trained_it() -> None:
    network = load_bundle(BUNDLE).network
    subsets = torch.tensor([subset for subset, _ in EXPECTED])
    with torch.inference_mode():
        features = network.encode(_waves()[None], torch.ones(1, 4, dtype=torch.bool))
        probabilities = network.decode(features, subsets).softmax(1)
    found = torch.stack([probabilities[(row, slice(None), *voxel)] for row, (_, voxel) in enumerate(EXPECTED)])
    assert torch.allclose(found, torch.tensor(list(EXPECTED.values())), atol=1e-4)
