"""Whole heads for tests of brain extraction: real label maps of people, painted like MR images, and their brains."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from DMAFTraining.inference.geometry import Grid, Volume, read_volume

# FreeSurfer labels, and 502-530 outside the brain, by tissue; what is in none of them is soft tissue.
_LABELS = {
    "white": (2, 41, 7, 46, 16, 28, 60),
    "gray": (3, 42, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58),
    "fluid": (24, 4, 43, 5, 44, 14, 15),
    "bone": (515,),
    "skin": (511,),
}
_BRIGHTNESS = {
    "t1": {"white": 100, "gray": 70, "fluid": 12, "bone": 12, "skin": 120, "soft": 75},
    "flair": {"white": 80, "gray": 100, "fluid": 20, "bone": 10, "skin": 90, "soft": 60},
    "t2": {"white": 60, "gray": 80, "fluid": 220, "bone": 12, "skin": 90, "soft": 50},
}


@dataclass(frozen=True)
class Head:
    """A painted head (simulated brightness on real anatomy) with noise in the air, and where its brain is."""

    volume: Volume
    brain: np.ndarray
    inside: np.ndarray

    def masked(self, keep: np.ndarray, background: float = 0.0) -> Volume:
        """The head with one value wherever ``keep`` is false."""
        return Volume(np.where(keep, self.volume.array, background).astype(np.float32), self.volume.grid)

    def stripped(self) -> Volume:
        return self.masked(self.brain)


def shared_data() -> Path | None:
    """Folder of the shared data sets; None where they are not there."""
    root = Path(os.environ.get("DMAF_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    return root if (root / "anatomies").is_dir() else None


@functools.cache
def _read_labels(person: int) -> Volume:
    root = shared_data()
    assert root is not None
    return read_volume(root / "anatomies" / f"training_seg_{person:02d}.nii.gz")


def paint_head(person: int, sequence: str = "t1", step: int = 2) -> Head:
    """A person's head in one sequence, voxels of ``step`` mm."""
    whole = _read_labels(person)
    labels = whole.array[::step, ::step, ::step].astype(np.int16)
    grid = Grid(labels.shape, whole.grid.ijk_to_ras @ np.diag([step, step, step, 1.0]))
    brightness = _BRIGHTNESS[sequence]
    image = np.where(labels > 0, brightness["soft"], 0).astype(np.float32)
    for tissue, values in _LABELS.items():
        image[np.isin(labels, values)] = brightness[tissue]
    rng = np.random.default_rng(person)
    image = ndimage.gaussian_filter(image, 0.5)
    real, imaginary = rng.normal(0, 3, (2, *image.shape))
    noisy = np.sqrt((image + real) ** 2 + imaginary**2).astype(np.float32)
    brain = ndimage.binary_fill_holes(np.isin(labels, [v for t in ("white", "gray", "fluid") for v in _LABELS[t]]))
    return Head(Volume(noisy, grid), brain, labels > 0)
