"""Image files whose headers are not quite right: put right where that is safe, with a warning, else refused.

Safe means that no voxel moves by more than half a voxel, or that the header itself holds the right value elsewhere.
"""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, read_image, volume_of
from DMAFTraining.inference.nifti import (
    HEADER_BYTES,
    NiftiHeader,
    is_nifti,
    open_nifti,
    read_nifti_header,
    without_place,
)
from DMAFTraining.inference.scans.dicom import quiet

Warnings = list[str]

_SAFE = 0.5  # voxels that a repair may move a corner
_OBLIQUE = 1e-4  # cosine between axes from which on they are not at right angles; ITK tolerates as much
_SIZES_DIFFER = 0.01  # share of a voxel size
_HINT = "Export it again, from DICOM if you can."


def read_repaired(path: Path) -> tuple[Volume, Warnings]:
    """Read an image file; sentences say what was put right. A good file is read as ``read_volume`` does.

    Raises:
        InputError: as ``read_volume``, or the header cannot be repaired safely.
    """
    header = _nifti_header(path)
    place, warnings = _nifti_place(path, header) if header else (None, [])
    with quiet():
        image = read_image(path) if place is None else _read_voxels(path)
    if header and len(header.size) > 3 and set(header.size[3:]) == {1}:
        warnings.append(_squeezed(path, header.size))
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        warnings.append(_squeezed(path, image.GetSize()))
        image = image[(*[slice(None)] * (image.GetDimension() - 1), 0)]
    volume = volume_of(image, str(path))
    if place is not None:
        volume = Volume(volume.array, Grid(volume.grid.size, place), volume.source)
    return _right_angled(volume, warnings)


def _squeezed(path: Path, size: tuple[int, ...]) -> str:
    shape = " x ".join(map(str, size))
    return f"{path.name} has {len(size)} dimensions ({shape}); it is read as the one 3-D image that it holds."


def _nifti_header(path: Path) -> NiftiHeader | None:
    """Header of a NIfTI; None for other files and for what :func:`read_image` will refuse."""
    try:
        return read_nifti_header(path) if is_nifti(path) else None
    except (OSError, EOFError, zlib.error):
        return None


def _nifti_place(path: Path, header: NiftiHeader) -> tuple[Matrix | None, Warnings]:
    """Where the voxels are, if not where ITK takes them to be, and what to tell.

    A NIfTI may say it twice: by a matrix (sform), and by an orientation and voxel sizes (qform).
    """
    sizes = np.array(header.spacing)
    sizes_fine = bool(np.isfinite(sizes).all() and (sizes != 0).all())
    matrix, oriented = header.sform, header.qform if sizes_fine else None
    if matrix is None and header.qform is None:
        return _nowhere(path, header, sizes_fine)
    if matrix is not None and _usable(matrix) and _shift(matrix, _squared(matrix), header) <= _SAFE:
        return _by_matrix(path, header, matrix, oriented)
    if oriented is None or not _usable(oriented):
        why = "whose axes are not at right angles" if matrix is not None and _usable(matrix) else "that cannot be"
        raise InputError(f"{path} has a position in space {why}.", _HINT)
    if matrix is not None:
        text = f"{path.name} has a matrix (sform) without right angles; its scanner position (qform) is used instead."
        return oriented, [text]
    if (sizes < 0).any():
        return oriented, [_sizes_repaired(path, sizes, "they are taken without their sign")]
    return None, []


def _nowhere(path: Path, header: NiftiHeader, sizes_fine: bool) -> tuple[Matrix | None, Warnings]:
    if not sizes_fine:
        raise InputError(f"{path} does not tell its voxel size.", _HINT)
    sizes = np.array(header.spacing)
    warnings = [
        f"{path.name} does not say where it is in space: its orientation, left and right included, is guessed."
        " Please check it."
    ]
    if (sizes > 0).all():
        return None, warnings
    place = np.diag([*(np.abs(sizes) * [-1, -1, 1]), 1.0])  # as ITK guesses
    return place, [*warnings, _sizes_repaired(path, sizes, "they are taken without their sign")]


def _by_matrix(
    path: Path, header: NiftiHeader, matrix: Matrix, oriented: Matrix | None
) -> tuple[Matrix | None, Warnings]:
    """The place by the sform, which is usable, with a look at what contradicts it."""
    sizes = np.array(header.spacing)
    edges = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(sizes).all() or (np.abs(sizes - edges) > _SIZES_DIFFER * edges).any():
        if oriented is not None and not np.allclose(np.abs(sizes), edges, rtol=_SIZES_DIFFER):
            shown = " x ".join(f"{edge:.3g}" for edge in edges)
            raise InputError(
                f"{path} gives two different voxel sizes: {_shown(sizes)} mm (qform) and {shown} mm (sform).", _HINT
            )
        return _squared(matrix), [_sizes_repaired(path, sizes, "they are taken from its matrix (sform)")]
    warnings = []
    if oriented is not None and _usable(oriented) and _shift(matrix, oriented, header) > _SAFE:
        distance = _distance(matrix, oriented, header)
        warnings.append(
            f"{path.name} says two different things about where it is in space, up to {distance:.3g} mm apart"
            " (sform and qform). Please check that it lies on the other sequences."
        )
    if _obliqueness(matrix) <= _OBLIQUE:
        return None, warnings
    return _squared(matrix), [*warnings, _squared_sentence(path, _shift(matrix, _squared(matrix), header))]


def _sizes_repaired(path: Path, sizes: Matrix, how: str) -> str:
    return f"{path.name} has wrong voxel sizes in its header ({_shown(sizes)} mm); {how}."


def _shown(sizes: Matrix) -> str:
    return " x ".join(f"{size:.3g}" for size in sizes)


def _squared_sentence(path: Path, shift: float) -> str:
    return (
        f"{path.name} has axes not quite at right angles; putting them right moved voxels by {shift:.2g} of their size."
    )


def _right_angled(volume: Volume, warnings: Warnings) -> tuple[Volume, Warnings]:
    """The volume on a grid with right angles, which other formats than NIfTI do not need to have either."""
    grid, path = volume.grid, Path(volume.source)
    if _obliqueness(grid.ijk_to_ras) <= _OBLIQUE:
        return volume, warnings
    squared = Grid(grid.size, _squared(grid.ijk_to_ras))
    shift = _corner_distance(grid, squared) / min(grid.spacing)
    if shift > _SAFE:
        raise InputError(f"{path} has a position in space whose axes are not at right angles.", _HINT)
    return Volume(volume.array, squared, volume.source), [*warnings, _squared_sentence(path, shift)]


def _usable(matrix: Matrix) -> bool:
    """Finite, and no axis is zero or lies in the plane of the two others."""
    if not np.isfinite(matrix).all():
        return False
    edges = np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(edges.min() > 0 and abs(np.linalg.det(matrix[:3, :3] / edges)) > 0.01)


def _obliqueness(matrix: Matrix) -> float:
    """Largest cosine between two axes."""
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _squared(matrix: Matrix) -> Matrix:
    """The nearest matrix with right angles (polar decomposition), same voxel sizes and same first voxel."""
    edges = np.linalg.norm(matrix[:3, :3], axis=0)
    left, _, right = np.linalg.svd(matrix[:3, :3] / edges)
    squared = matrix.copy()
    squared[:3, :3] = left @ right * edges
    return squared


def _shift(one: Matrix, other: Matrix, header: NiftiHeader) -> float:
    """How far two matrices are apart at the corners, in voxels of the first one."""
    return _distance(one, other, header) / float(np.linalg.norm(one[:3, :3], axis=0).min())


def _distance(one: Matrix, other: Matrix, header: NiftiHeader) -> float:
    """How far two matrices are apart at the corners, in mm."""
    size = (*header.size, 1, 1, 1)
    shape = (size[0], size[1], size[2])
    return _corner_distance(Grid(shape, one), Grid(shape, other))


def _corner_distance(one: Grid, other: Grid) -> float:
    return float(np.linalg.norm(one.corners() - other.corners(), axis=1).max())


def _read_voxels(path: Path) -> sitk.Image:
    """Voxels of a NIfTI whose place ITK would refuse or misread: from a copy that has none."""
    try:
        with open_nifti(path) as stream:
            content = without_place(stream.read(HEADER_BYTES)) + stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is cut off or damaged.", "Copy or export it again.") from error
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "voxels.nii")
        copy.write_bytes(content)
        try:
            return read_image(copy)
        except InputError as error:
            raise InputError(str(error).replace(str(copy), str(path)), error.hint) from error
