"""A cohort small enough to train on in a test: balls of three nested labels in four sequences, real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DMAFTraining.modalities import BRATS

SIDE = 36
_LOOKS = np.array([[0.5, -1, 0.5, 1], [0.5, -1, 0.5, 2], [0.5, 1, 2, 1.5], [0.5, 2, 1.5, 1]]) + 3  # [sequence, label]


def write_tiny_cohort(folder: Path, cases: int = 3) -> Path:
    """Write cases as ``<case>/<case>_<sequence>.nii.gz`` and ``_seg.nii.gz``, 2 mm."""
    for number in range(cases):
        x, y, z = np.mgrid[:SIDE, :SIDE, :SIDE] - (13 + 3 * number)
        radius = np.sqrt(x**2 + y**2 + z**2)
        labels = np.select([radius < 4, radius < 6, radius < 10], [1, 3, 2], 0).astype(np.uint8)
        noise = np.random.default_rng(number).normal(0, 0.1, (4, SIDE, SIDE, SIDE))
        images = (_LOOKS[:, labels] + noise).astype(np.float32)
        place = folder / f"ball{number}"
        place.mkdir(parents=True)
        for name, array in (*zip(BRATS.names, images, strict=True), ("seg", labels)):
            image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
            image.SetSpacing((2.0, 2.0, 2.0))
            sitk.WriteImage(image, str(place / f"ball{number}_{name}.nii.gz"))
    return folder


def tiny_arguments(cohort: Path, output: Path, *more: str) -> list[str]:
    """Command line of a run of four steps with a tiny network; ``more`` overrides."""
    return [
        f"data.root={cohort}",
        f"output={output}",
        "data.patch=[32,32,32]",
        "data.workers=0",
        "data.prepare_processes=1",
        "data.missing_rates=[0.2,0.4,0.2,0.4]",
        "network=DMAFNetConfig",
        "network.width=2",
        "network.grid=[2,2,2]",
        "network.layers=1",
        "network.channels_per_head=2",
        "optimizer.learning_rate=0.005",
        "precision=fp32",
        "batch=2",
        "epochs=2",
        "iterations=2",
        "log_every=1",
        "device=cpu",
        *more,
    ]


def write_tiny_hearts(folder: Path) -> Path:
    """Write three patients in the layout of MyoPS 2020, two slices each, 1 x 1 x 12 mm."""
    for number in range(3):
        x, y = np.mgrid[:40, :40] - (18 + 2 * number)
        radius = np.repeat(np.sqrt(x**2 + y**2)[..., None], 2, axis=2)
        classes = np.select([radius < 5, radius < 8, radius < 11], [1, 2, 3], 0)  # pool, myocardium, right ventricle
        noise = np.random.default_rng(number).normal(0, 0.1, (3, *radius.shape))
        looks = np.array([[2, 5, 3, 4], [3, 4, 2, 5], [4, 3, 5, 2]])[:, classes] + noise
        labels = np.array([0, 500, 200, 600], np.int16)[classes]
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in (("C0", looks[0]), ("DE", looks[1]), ("T2", looks[2]), ("gd", labels)):
            image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
            image.SetSpacing((1.0, 1.0, 12.0))
            sitk.WriteImage(image, str(folder / f"myops_training_{101 + number}_{name}.nii.gz"))
    return folder
