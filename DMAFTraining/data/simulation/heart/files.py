"""Writing a simulated heart the way MyoPS 2020 is distributed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.data.simulation.heart.case import HeartCase
from DMAFTraining.inference.geometry import Grid, to_image

_SUFFIX = {"bssfp": "C0", "lge": "DE", "t2": "T2"}


def write_heart_case(case: HeartCase, folder: Path) -> Path:
    """Write a case as ``<folder>/<name>/<name>_{C0,DE,T2,gd}.nii.gz``, 16-bit whole numbers; returns its folder.

    Raises:
        FileExistsError: the folder has this case already.
    """
    place = folder / case.name
    place.mkdir(parents=True)
    i, j, k = case.labels.shape
    grid = Grid((i, j, k), case.affine)
    arrays: dict[str, NDArray[Any]] = {_SUFFIX[name]: image for name, image in case.images.items()}
    for name, array in {**arrays, "gd": case.labels}.items():
        sitk.WriteImage(to_image(array.astype(np.int16), grid), str(place / f"{case.name}_{name}.nii.gz"))
    return place
