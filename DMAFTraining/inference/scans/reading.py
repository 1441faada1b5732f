"""Scans as a hospital gives them: image files of any kind, and DICOM series in folders."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Volume, volume_of
from DMAFTraining.inference.metadata import sha256_file
from DMAFTraining.inference.scans.dicom import DicomSeries, find_series, is_dicom, read_headers, series_of_file
from DMAFTraining.inference.scans.headers import read_repaired
from DMAFTraining.inference.scans.series_choice import choose_series
from DMAFTraining.inference.scans.series_image import read_series_image
from DMAFTraining.inference.scans.stack import StackError
from DMAFTraining.modalities import ModalitySet

Source = Path | DicomSeries
"""Where a scan is: an image file, a folder that holds one DICOM series, or one series of several."""

_IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


@dataclass(frozen=True)
class Scan:
    """An image, and what had to be put right or looks odd: pairs of a code and a sentence."""

    volume: Volume
    warnings: tuple[tuple[str, str], ...] = ()


def read_scan(source: Source) -> Scan:
    """Read a scan; a good image file gives the same as :func:`~DMAFTraining.inference.geometry.read_volume`.

    Raises:
        InputError: as ``read_volume``; a folder without a DICOM series or with several; a series that is not one
            whole stack of slices; a header that cannot be repaired safely.
    """
    if isinstance(source, DicomSeries):
        return Scan(_read_series(source, source.folder))
    if source.is_dir():
        series, warnings = _only_series(source)
        return Scan(_read_series(series, source), warnings)
    if is_dicom(source):
        return Scan(_read_series(series_of_file(source), source))
    volume, sentences = read_repaired(source)
    return Scan(volume, tuple(("header", sentence) for sentence in sentences))


def _read_series(series: DicomSeries, place: Path) -> Volume:
    name = f"The {describe(series)}"
    try:
        image = read_series_image(read_headers(series.files))
    except StackError as problem:
        raise InputError(f"{name} cannot be used: it {problem}.", problem.hint) from problem
    return volume_of(image, str(place), name)


def _only_series(folder: Path) -> tuple[DicomSeries, tuple[tuple[str, str], ...]]:
    found = find_series(folder)
    if not found.series:
        raise InputError(f"{folder} holds no DICOM images.", "Choose an image file, or the folder of a DICOM series.")
    if len(found.series) > 1:
        names = ", ".join(f'"{series.description}"' for series in found.series)
        raise InputError(
            f"{folder} holds {len(found.series)} DICOM series ({names}).",
            "Choose the folder of one of them, or let the program find the sequences of the case.",
        )
    (series,) = found.series
    count = len(found.unreadable)
    text = f"{count} DICOM file(s) beside the {describe(series)} hold no readable image and were left out."
    return series, (("dicom", text),) if count else ()


def find_scans(folder: Path, modalities: ModalitySet) -> tuple[dict[str, Source], tuple[str, ...]]:
    """Scans of one patient in a folder: image files by their names, DICOM series (also in sub-folders) by their tags.

    An image file of a sequence goes before a DICOM series. If files give all sequences, no DICOM is looked for.

    Returns:
        The source of each sequence that was found, in channel order, and sentences that tell what was taken for what
        and why, and what was left out.

    Raises:
        InputError: no such folder, no sequence in it, a file of a sequence twice, or several patients or examinations.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    files, notes = _image_files(folder, modalities)
    sources: dict[str, Source] = dict(files)
    if len(files) < len(modalities):
        found = find_series(folder)
        series, told = choose_series(folder, found.series, modalities)
        sources = {**series, **files}
        both = [name for name in modalities.names if name in series and name in files]
        notes += told
        notes += [f"{modalities[name].title} is taken from its file, not from a DICOM series." for name in both]
        if found.unreadable:
            notes.append(f"Left out: {len(found.unreadable)} DICOM file(s) that hold no readable image.")
    if not sources:
        known = ", ".join(f"*_{name}.nii.gz" for name in modalities.names)
        hint = f"Names should end like {known}, or DICOM series tell their sequences in their descriptions."
        raise InputError(" ".join((f"{folder} holds no image of a known sequence.", *notes)), hint)
    return {name: sources[name] for name in modalities.names if name in sources}, tuple(notes)


def _image_files(folder: Path, modalities: ModalitySet) -> tuple[dict[str, Path], list[str]]:
    """Image files of a folder by the last part of their names (``..._t1ce.nii.gz``), and what to tell of them."""
    found: dict[str, Path] = {}
    notes = []
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in _IMAGE_SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        stem = path.name[: -len(suffix)]
        name = modalities.resolve(stem.replace("-", "_").split("_")[-1])
        if name is None:
            notes.append(f"Left out: {path.name}, whose name does not end like a sequence.")
            continue
        if name in found:
            raise InputError(f"{folder} holds {modalities[name].title} twice: {found[name].name} and {path.name}.")
        found[name] = path
        notes.append(f"{modalities[name].title}: {path.name}, because of its name.")
    return found, notes


def content_sha256(source: Source | str) -> str:
    """SHA-256 of what a scan is made of: of an image file's bytes; of a DICOM series' files whatever their names.

    Raises:
        InputError: as :func:`read_scan` for a folder; there is no such file.
    """
    source = Path(source) if isinstance(source, str) else source
    if isinstance(source, Path) and source.is_dir():
        source, _ = _only_series(source)
    try:
        if isinstance(source, Path):
            return sha256_file(source)
        return hashlib.sha256("".join(sorted(map(sha256_file, source.files))).encode()).hexdigest()
    except OSError as error:
        raise InputError(f"{describe(source)} cannot be read ({error.strerror}).", "Check the path.") from error


def describe(source: Source | str) -> str:
    """A scan for provenance and messages: a file's name; of a DICOM series its description, never the folder.

    Folders of an export are often named after the patient.
    """
    source = Path(source) if isinstance(source, str) else source
    if isinstance(source, Path) and source.is_dir():
        source, _ = _only_series(source)
    if isinstance(source, Path):
        return source.name
    return f'DICOM series "{source.description}"'
