"""A rigid motion as a text file that ITK, Slicer and other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.geometry import Matrix

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between RAS and LPS, either way


def write_transform(path: Path, moved_by: Matrix) -> None:
    """Write the motion of a scan onto its reference as an ITK transform (``.tfm``).

    ITK keeps positions as LPS, and the way back: its transforms take a point of the output to the point of the input
    whose value belongs there. Resampling the scan with the file, or loading it in Slicer and applying it to the scan,
    puts the scan onto the reference.

    Args:
        path: file to write.
        moved_by: 4x4, from RAS positions of the scan, as its header places it, to those on the reference.
    """
    to_scan = _FLIP @ np.linalg.inv(moved_by) @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(to_scan[:3, :3].flatten().tolist())
    transform.SetTranslation(to_scan[:3, 3].tolist())
    sitk.WriteTransform(transform, str(path))
