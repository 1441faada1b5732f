"""The shipped preview model: its stored weights must keep meaning the same network."""

from __future__ import annotations

from pathlib import Path

import torch

from DMAFTraining.inference.bundle import load_bundle

BUNDLE = Path(__file__).parents[2] / "Resources" / "Models" / "brats-dmaf-2mm-preview.safetensors"
EXPECTED = {  # (t1, t1ce, flair, t2), voxel: class probabilities, from the program that trained it
    ((True, False, False, False), (14, 8, 33)): (0.28810, 0.14622, 0.28833, 0.27735),
    ((True, False, False, False), (19, 8, 34)): (0.22576, 0.24746, 0.05855, 0.46823),
    ((True, True, False, False), (43, 3, 33)): (0.58465, 0.01230, 0.40236, 0.00069),
    ((True, True, True, False), (47, 7, 36)): (0.45802, 0.47602, 0.02448, 0.04148),
    ((True, True, True, True), (44, 1, 33)): (0.68404, 0.00199, 0.31372, 0.00025),
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
