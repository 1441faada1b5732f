"""DICOM images in a folder and its sub-folders, sorted into series by their tags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import SimpleITK as sitk

from DMAFTraining.inference.errors import InputError

READER = "GDCMImageIO"

_SERIES_UID = "0020,000E"
_MAGIC_AT, _MAGIC = 128, b"DICM"
_SUFFIXES = {".dcm", ".ima"}  # old files of these may lack the magic bytes
_DIRECTORY = "DICOMDIR"  # a table of contents, no image


@dataclass(frozen=True)
class DicomSeries:
    """The images of one acquisition.

    Attributes:
        folder: where the first of its files is.
        uid: its Series Instance UID.
        files: its images, each once, in the order of their paths.
        description: for people: its Series Description, else its protocol, else its number.
    """

    folder: Path
    uid: str
    files: tuple[Path, ...]
    description: str


@dataclass(frozen=True)
class Header:
    """Tags of one DICOM file, by number as in ``"0008,103E"``; those inside of sequences are not among them."""

    path: Path
    values: Mapping[str, str] = field(repr=False)

    def text(self, tag: str) -> str:
        """Value of a tag; empty when there is none."""
        return self.values.get(tag.upper(), "")

    def numbers(self, tag: str) -> tuple[float, ...]:
        """Numbers of a tag; empty when there are none."""
        try:
            return tuple(float(part) for part in self.text(tag).split("\\"))
        except ValueError:
            return ()


@dataclass(frozen=True)
class DicomFolder:
    """What a folder holds: the headers of each series, and DICOM files that hold no readable image."""

    series: Mapping[DicomSeries, tuple[Header, ...]]
    unreadable: tuple[Path, ...]


@contextmanager
def quiet() -> Iterator[None]:
    """ITK's warnings stay out of the user's terminal: what matters of them is checked and said by us."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def read_headers(files: tuple[Path, ...]) -> tuple[Header, ...]:
    """Tags of the files of a series.

    Raises:
        InputError: one of them is gone or is no DICOM image.
    """
    headers = []
    for path in files:
        header = _read_header(path)
        if header is None:
            raise InputError(f"{path.name} cannot be read as a DICOM image.", "Copy or export the series again.")
        headers.append(header)
    return tuple(headers)


def series_of_file(path: Path) -> DicomSeries:
    """A series that consists of one file, such as an enhanced MR image.

    Raises:
        InputError: it is no DICOM image.
    """
    (header,) = read_headers((path,))
    return DicomSeries(path.parent, header.text(_SERIES_UID), (path,), _description(header))


def find_series(folder: Path) -> DicomFolder:
    """Every DICOM series in a folder and its sub-folders; a file that lies there twice counts once."""
    groups: dict[str, dict[tuple[str, ...], Header]] = {}
    unreadable = []
    for path in _dicom_files(folder):
        header = _read_header(path)
        if header is None:
            unreadable.append(path)
            continue
        same_image = tuple(header.text(tag) for tag in ("0008,0018", "0020,0032", "0020,0013"))
        key = same_image if same_image[0] else (str(path),)
        groups.setdefault(header.text(_SERIES_UID), {}).setdefault(key, header)
    series = {}
    for uid, images in groups.items():
        headers = tuple(images.values())
        files = tuple(header.path for header in headers)
        series[DicomSeries(files[0].parent, uid, files, _description(headers[0]))] = headers
    return DicomFolder(series, tuple(unreadable))


def _dicom_files(folder: Path) -> Iterator[Path]:
    """DICOM files in the order of their paths; hidden ones are left alone."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and name.upper() != _DIRECTORY and path.is_file() and is_dicom(path):
                yield path


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


def _read_header(path: Path) -> Header | None:
    """Tags of a DICOM image; None when it is none (a report, a presentation state) or damaged."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READER)
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    keys = [key for key in reader.GetMetaDataKeys() if len(key) == 9]
    return Header(path, {key.replace("|", ",").upper(): _clean(reader.GetMetaData(key)) for key in keys})


def _clean(value: str) -> str:
    """Without padding. ITK passes the bytes on: UTF-8, or else, most often, the letters of Western Europe."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.strip(" \0")


def _description(header: Header) -> str:
    number = header.text("0020,0011")
    return header.text("0008,103E") or header.text("0018,1030") or (f"series {number}" if number else "unnamed series")
