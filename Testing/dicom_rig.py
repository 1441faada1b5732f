"""DICOM series as a scanner writes them, small: one file a slice, or one file with all frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SECRET_NAME, SECRET_ID = "Mustermann^Erika", "MRN-4711"
STUDY = generate_uid(entropy_srcs=["study"])


def voxels(shape: tuple[int, int, int] = (6, 8, 10), seed: int = 0) -> NDArray[np.uint16]:
    """Random voxels ``(slices, rows, columns)``."""
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(np.uint16)


def write_series(
    folder: Path,
    array: NDArray[np.uint16] | None = None,
    *,
    spacing: tuple[float, float, float] = (0.8, 0.9, 3.0),
    origin: Sequence[float] = (1.0, 2.0, 3.0),
    orientation: Sequence[float] = AXIAL,
    positions: Sequence[Sequence[float]] | None = None,
    extension: str = "",
    reverse_names: bool = False,
    **tags: Any,
) -> list[Path]:
    """Write one file for each slice of ``array (slices, rows, columns)``; returns them in the order of the slices.

    Args:
        spacing: between rows, between columns, between slices, in mm.
        positions: of each slice in place of an even stack from ``origin``.
        reverse_names: the file names count against the slices.
        tags: values by DICOM keyword; a tuple gives each slice its own.
    """
    array = voxels() if array is None else array
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    even = [np.asarray(origin) + k * spacing[2] * normal for k in range(len(array))]
    series = generate_uid()
    files = []
    for k, place in enumerate(even if positions is None else positions):
        data = _image(array[k], MRImageStorage, {"SeriesInstanceUID": series})
        data.ImagePositionPatient = [f"{value:.6f}" for value in place]
        data.ImageOrientationPatient = [f"{value:.8f}" for value in orientation]
        data.PixelSpacing = list(spacing[:2])
        data.InstanceNumber = k + 1
        for keyword, value in tags.items():
            setattr(data, keyword, value[k] if isinstance(value, tuple) else value)
        number = len(array) - k if reverse_names else k
        files.append(folder / f"IM{number:04d}{extension}")
        data.save_as(files[-1], enforce_file_format=True)
    return files


def write_frames(
    path: Path,
    array: NDArray[np.uint16],
    heights: Iterable[float],
    *,
    implicit: bool = False,
    slopes: Sequence[float] | None = None,
    **tags: Any,
) -> Path:
    """Write one enhanced MR file; each frame of ``array (frames, rows, columns)`` lies at its height, axial, in mm."""
    data = _image(array, EnhancedMRImageStorage, {"NumberOfFrames": len(array)} | tags)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_group(ImageOrientationPatient=list(AXIAL))]
    shared.PixelMeasuresSequence = [_group(PixelSpacing=[0.8, 0.9], SliceThickness=3)]
    shared.PixelValueTransformationSequence = [_group(RescaleSlope="2", RescaleIntercept="1", RescaleType="US")]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k, height in enumerate(heights):
        frame = Dataset()
        frame.PlanePositionSequence = [_group(ImagePositionPatient=[1, 2, height])]
        if slopes:
            scale = _group(RescaleSlope=slopes[k], RescaleIntercept="1", RescaleType="US")
            frame.PixelValueTransformationSequence = [scale]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def write_brain_study(folder: Path) -> dict[str, list[Path]]:
    """Two series for each of the four brain tumor sequences: thick slices, and thin ones that should be taken.

    Returns the files of the thin series.
    """
    times = {
        "t1": {"RepetitionTime": 2000, "EchoTime": 9},
        "t1ce": {"RepetitionTime": 2000, "EchoTime": 9, "ContrastBolusAgent": "Gadovist"},
        "flair": {"RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500},
        "t2": {"RepetitionTime": 4500, "EchoTime": 100},
    }
    thick = {"t1": "ax T1 SE", "t1ce": "ax T1 SE", "flair": "ax T2 FLAIR 5mm", "t2": "ax T2 TSE 5mm"}
    thin = {"t1": "t1_mprage_sag", "t1ce": "t1_mprage_sag", "flair": "FLAIR 3D", "t2": "T2 SPACE 3D"}
    written = {}
    for number, name in enumerate(times, start=1):
        both = times[name] | {"Modality": "MR"}
        write_series(
            folder / f"S{number}",
            voxels((4, 8, 8), number),
            spacing=(0.5, 0.5, 5.0),
            SeriesDescription=thick[name],
            SeriesNumber=number,
            **both,
        )
        written[name] = write_series(
            folder / f"S{number + 10}",
            voxels((8, 8, 8), number + 10),
            spacing=(1.0, 1.0, 1.0),
            SeriesDescription=thin[name],
            SeriesNumber=number + 10,
            **both,
        )
    return written


def _group(**values: Any) -> Dataset:
    group = Dataset()
    for keyword, value in values.items():
        setattr(group, keyword, value)
    return group


def _image(array: NDArray[np.uint16], kind: str, tags: dict[str, Any]) -> Dataset:
    """A gray image with a patient's data in it, not yet placed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, kind
    meta.MediaStorageSOPInstanceUID = generate_uid()
    values = {
        **{"SOPClassUID": kind, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "Modality": "MR"},
        **{"PatientName": SECRET_NAME, "PatientID": SECRET_ID, "StudyInstanceUID": STUDY, "StudyDate": "20240102"},
        **{"SeriesInstanceUID": generate_uid(), "SeriesNumber": 1, "ImageType": ["ORIGINAL", "PRIMARY", "M"]},
        **{"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0},
        **{"Rows": array.shape[-2], "Columns": array.shape[-1]},
        **{"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15},
    }
    data = _group(**values | tags)
    data.file_meta = meta
    data.PixelData = np.ascontiguousarray(array).tobytes()
    return data
