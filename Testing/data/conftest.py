"""Small raw cases on disk, named as the public data sets name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.data.datasets import BRATS
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.data.store import PatchStore

SHAPE = (14, 16, 12)
BRATS_NAMES = ("t1", "t1ce", "flair", "t2")

WriteImage = Callable[..., Path]
WriteCase = Callable[..., dict[str, np.ndarray]]


def _write_image(
    path: Path,
    array: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
) -> Path:
    """Write ``array (X, Y, Z)``; direction and origin are ITK's (LPS)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin(origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def make_arrays(seed: int, names: Sequence[str], shape: Sequence[int] = SHAPE) -> dict[str, np.ndarray]:
    """A brain inside a border of two zero planes, with labels 1, 2, 4 as BraTS 2020 writes them."""
    rng = np.random.default_rng(seed)
    inside = tuple(slice(2, size - 2) for size in shape)
    arrays = {}
    for name in names:
        arrays[name] = np.zeros(shape, np.int16)
        arrays[name][inside] = rng.integers(50, 900, [size - 4 for size in shape])
    labels = np.zeros(shape, np.uint8)
    labels[4:10, 5:11, 4:9] = 2
    labels[5:8, 6:9, 5:8] = 4
    labels[6, 7, 6] = 1
    return {**arrays, "seg": labels}


@pytest.fixture
def write_image() -> WriteImage:
    """``write_image(path, array, spacing, direction, origin)``."""
    return _write_image


@pytest.fixture
def write_case() -> WriteCase:
    """``write_case(folder, name, names, seed, separator, suffix, spelling)`` writes files and returns the arrays."""

    def write(
        folder: Path,
        name: str,
        names: Sequence[str] = BRATS_NAMES,
        seed: int = 0,
        separator: str = "_",
        suffix: str = ".nii.gz",
        spelling: Mapping[str, str] | None = None,
    ) -> dict[str, np.ndarray]:
        arrays = make_arrays(seed, names)
        for what, array in arrays.items():
            _write_image(folder / f"{name}{separator}{(spelling or {}).get(what, what)}{suffix}", array)
        return arrays

    return write


@pytest.fixture
def store(tmp_path: Path, write_case: WriteCase) -> PatchStore:
    """Four prepared cases a, b, c, d; b lacks T1 and c has FLAIR only."""
    owned = {"a": BRATS_NAMES, "b": ("t1ce", "flair", "t2"), "c": ("flair",), "d": BRATS_NAMES}
    for seed, (name, names) in enumerate(owned.items()):
        write_case(tmp_path / "raw" / name, name, names, seed)
    return prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
