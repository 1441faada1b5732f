"""The fields of a NIfTI header that say how voxels are stored and where they are in space.

ITK mends what it does not like in them without a word (a voxel size of 0 becomes 1 mm), so they are read here. Layout:
NIfTI-1 standard, nifti.nimh.nih.gov; ITK reads no other.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

HEADER_BYTES = 348
# Place and layout of the fields.
_START, _UNITS, _FORM_CODES = (108, "f"), (123, "B"), (252, "2h")
_DATATYPE, _BITPIX, _DIM, _PIXDIM = (70, "h"), (72, "h"), (40, "8h"), (76, "8f")
_QUATERNION, _ROWS = (256, "6f"), (280, "12f")
_UNIT_BITS, _MM = 7, {1: 1000.0, 3: 0.001}  # of the field for units; meters and micrometers in mm


@dataclass(frozen=True)
class NiftiHeader:
    """Fields of a header.

    Attributes:
        order: ``<`` or ``>``, the order of bytes.
        datatype: code of the voxel type.
        voxel_bytes: size of a voxel.
        start: where the voxels begin.
        size: voxels along each axis, as many as the image has.
        spacing: voxel size along i, j, k in mm, as stored.
        sform: 4x4 matrix from voxel index to RAS, mm; None when the header says that it has none.
        qform: likewise, from its quaternion and the magnitude of ``spacing``.
    """

    order: str
    datatype: int
    voxel_bytes: int
    start: int
    size: tuple[int, ...]
    spacing: tuple[float, float, float]
    sform: Matrix | None
    qform: Matrix | None


def is_nifti(path: Path) -> bool:
    """Whether a file is a single-file NIfTI, by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def open_nifti(path: Path) -> gzip.GzipFile | BufferedReader:
    """The bytes of a NIfTI file, uncompressed."""
    return gzip.open(path) if _is_compressed(path) else path.open("rb")


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _starts_as_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """Header of a NIfTI file; None when it has none.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read or is damaged.
    """
    if _is_compressed(path) and not _starts_as_gzip(path):
        return None
    with open_nifti(path) as stream:
        data = stream.read(HEADER_BYTES)
    order = _byte_order(data)
    if order is None:
        return None

    def take(field: tuple[int, str]) -> tuple[Any, ...]:
        return struct.unpack_from(order + field[1], data, field[0])

    to_mm = _MM.get(take(_UNITS)[0] & _UNIT_BITS, 1.0)
    pixdim, dim, start = take(_PIXDIM), take(_DIM), take(_START)[0]
    has_qform, has_sform = (code > 0 for code in take(_FORM_CODES))
    return NiftiHeader(
        order,
        take(_DATATYPE)[0],
        take(_BITPIX)[0] // 8,
        int(start) if np.isfinite(start) else 0,
        dim[1 : 1 + dim[0]] if 1 <= dim[0] <= 7 else (),
        (pixdim[1] * to_mm, pixdim[2] * to_mm, pixdim[3] * to_mm),
        _sform(take(_ROWS), to_mm) if has_sform else None,
        _qform(take(_QUATERNION), pixdim, to_mm) if has_qform else None,
    )


def without_place(header: bytes) -> bytes:
    """A header of :data:`HEADER_BYTES` without all that it says on where the voxels are: 1 mm, no orientation."""
    order = _byte_order(header)
    if order is None:
        raise ValueError("This is no header of a NIfTI file.")
    changed = bytearray(header)
    struct.pack_into(order + _FORM_CODES[1], changed, _FORM_CODES[0], 0, 0)
    struct.pack_into(order + _PIXDIM[1], changed, _PIXDIM[0], *([1] * 8))
    return bytes(changed)


def _byte_order(data: bytes) -> str | None:
    """``<`` or ``>``: a header starts with its own length. None when it is no header."""
    if len(data) < HEADER_BYTES:
        return None
    return next((order for order in "<>" if struct.unpack_from(order + "i", data)[0] == HEADER_BYTES), None)


def _sform(rows: tuple[float, ...], to_mm: float) -> Matrix:
    return np.vstack([np.reshape(rows, (3, 4)) * to_mm, [0, 0, 0, 1]])


def _qform(quaternion: tuple[float, ...], pixdim: tuple[float, ...], to_mm: float) -> Matrix:
    """Rotation from the last three parts of a unit quaternion, with the voxel size and the offset."""
    b, c, d, *offset = quaternion
    a = np.sqrt(max(0.0, 1 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    matrix = np.eye(4)
    third_axis = -1.0 if pixdim[0] < 0 else 1.0
    matrix[:3, :3] = rotation * np.abs(pixdim[1:4]) * [1, 1, third_axis] * to_mm
    matrix[:3, 3] = np.array(offset) * to_mm
    return matrix
