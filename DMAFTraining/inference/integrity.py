"""Is a NIfTI file whole, and are its voxels numbers?

ITK reads a cut-off NIfTI without a word and fills up with zeros, and it turns NaN into zeros too.
Both would pass for background, so the bytes are looked at here before ITK sees the file.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.errors import InputError

_BLOCK = 2**22  # bytes; a multiple of every voxel size
_FLOATS = {16: "f4", 64: "f8"}  # NIfTI data type codes


def check_nifti(path: Path) -> None:
    """Refuse a single-file NIfTI that is cut off, damaged, or holds values that are not finite.

    Other formats are left to ITK, which checks them itself.

    Raises:
        InputError: see above.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    start = int(float(reader.GetMetaData("vox_offset")))
    sizes = [int(reader.GetMetaData(f"dim[{i + 1}]")) for i in range(int(reader.GetMetaData("dim[0]")))]
    expected = int(np.prod(sizes)) * int(reader.GetMetaData("bitpix")) // 8
    kind = _FLOATS.get(int(reader.GetMetaData("datatype")))
    found = bad = 0
    try:
        for block in _voxel_blocks(path, start):
            block = block[: max(0, expected - found)]
            found += len(block)
            bad += _not_finite(block, kind, path) if kind else 0
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is cut off or damaged.", "Copy or export it again.") from error
    if found < expected:
        raise InputError(f"{path} is cut off: {found} of {expected} bytes of voxels.", "Copy or export it again.")
    if bad:
        raise InputError(f"{path} holds {bad} voxel(s) that are not numbers (NaN or infinite).", "Export it again.")


def _voxel_blocks(path: Path, start: int) -> Iterator[bytes]:
    """Bytes behind the header; reading to the end also verifies a gzip checksum."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        stream.read(start)
        while block := stream.read(_BLOCK):
            yield block


def _not_finite(block: bytes, kind: str, path: Path) -> int:
    whole = len(block) // int(kind[1]) * int(kind[1])
    values = np.frombuffer(block[:whole], dtype=_byte_order(path) + kind)
    return int(np.count_nonzero(~np.isfinite(values)))


def _byte_order(path: Path) -> str:
    """``<`` or ``>``: the header starts with its own length, 348."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        return "<" if int.from_bytes(stream.read(4), "little") in (348, 540) else ">"
