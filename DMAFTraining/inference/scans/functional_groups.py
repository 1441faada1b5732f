"""Where the frames of an enhanced (multi-frame) DICOM file are in space.

GDCM reads the voxels of such a file. Where its frames are not in order it gives them voxels of 1 mm and no direction,
without a word, and it does not pass on what the file says about each frame. So that part is read here (DICOM PS3.5,
section 7 on the encoding; PS3.3, section C.7.6.16 on the groups).
"""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path
from typing import Any

from DMAFTraining.inference.scans.stack import Slice, StackError, make_slice

Elements = dict[tuple[int, int], Any]
"""Value of each tag: bytes, or for a sequence a list of items, each again of this kind."""

_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = re.compile(r"1\.2\.840\.10008\.1\.2\.(1|4\.\d+|5)")  # plain, and those that compress the voxels alone
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_PIXEL_DATA = (0x7FE0, 0x0010)
_SHARED, _PER_FRAME = (0x5200, 0x9229), (0x5200, 0x9230)
_PLANE_POSITION, _PLANE_ORIENTATION = (0x0020, 0x9113), (0x0020, 0x9116)
_PIXEL_MEASURES, _VALUE_TRANSFORMATION = (0x0028, 0x9110), (0x0028, 0x9145)
_SEQUENCES = {_SHARED, _PER_FRAME, _PLANE_POSITION, _PLANE_ORIENTATION, _PIXEL_MEASURES, _VALUE_TRANSFORMATION}
_POSITION, _ORIENTATION, _SPACING = (0x0020, 0x0032), (0x0020, 0x0037), (0x0028, 0x0030)
_INTERCEPT, _SLOPE = (0x0028, 0x1052), (0x0028, 0x1053)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_LONG_FORMS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_UNTIL_END = 0xFFFFFFFF
_FIRST_ELEMENT = 132  # behind the preamble and its magic bytes


def frame_slices(path: Path, size: tuple[int, int], count: int) -> list[Slice]:
    """Place of each of the ``count`` frames of a file, in the order of its voxels; ``size`` is columns, rows.

    Raises:
        StackError: the file does not say it for every frame, or scales the values of frames differently.
    """
    try:
        elements = _read(path)
    except (struct.error, OSError, ValueError, RecursionError) as error:
        raise StackError("is a multi-frame file whose description of the frames cannot be read") from error
    shared = _first(elements, _SHARED)
    frames = elements.get(_PER_FRAME, [])
    if len(frames) != count:
        raise StackError("is a multi-frame file that does not tell where each frame is")
    if len({_scaling(frame, shared) for frame in frames}) > 1:
        raise StackError("is a multi-frame file whose frames have values of different scale")
    return [
        make_slice(
            _numbers(frame, shared, _PLANE_POSITION, _POSITION),
            _numbers(frame, shared, _PLANE_ORIENTATION, _ORIENTATION),
            _numbers(frame, shared, _PIXEL_MEASURES, _SPACING),
            size,
        )
        for frame in frames
    ]


def _scaling(frame: Elements, shared: Elements) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(frame, shared, _VALUE_TRANSFORMATION, tag) for tag in (_SLOPE, _INTERCEPT))


def _numbers(frame: Elements, shared: Elements, group: tuple[int, int], tag: tuple[int, int]) -> tuple[float, ...]:
    """Numbers of a tag in a group of a frame, or else in the group that all frames share; empty when in neither."""
    value: bytes = _first(frame, group).get(tag) or _first(shared, group).get(tag) or b""
    try:
        return tuple(float(part) for part in value.decode("ascii").strip(" \0").split("\\"))
    except ValueError:
        return ()


def _first(elements: Elements, sequence: tuple[int, int]) -> Elements:
    """First item of a sequence; empty when there is none."""
    items = elements.get(sequence) or [{}]
    return items[0]


def _read(path: Path) -> Elements:
    """Elements of a file up to its voxels."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = _Walk(data, _FIRST_ELEMENT, explicit=True)
        syntax = head.elements(len(data), only_group=0x0002).get(_TRANSFER_SYNTAX, b"").decode("ascii").strip(" \0")
        if syntax != _IMPLICIT and not _EXPLICIT.fullmatch(syntax):
            raise ValueError(f"transfer syntax {syntax}")
        return _Walk(data, head.at, explicit=syntax != _IMPLICIT).elements(len(data))


class _Walk:
    """Goes through little-endian elements from ``at`` on."""

    def __init__(self, data: mmap.mmap, at: int, explicit: bool) -> None:
        self._data = data
        self.at = at
        self._explicit = explicit

    def elements(self, end: int, only_group: int | None = None) -> Elements:
        """Elements up to ``end``, an end mark, the voxels, or another group than asked for."""
        found: Elements = {}
        while self.at < end:
            tag = self._take("<HH")
            if tag == _PIXEL_DATA or (only_group is not None and tag[0] != only_group):
                self.at -= 4
                break
            kind, length = self._kind_and_length(tag)
            if tag in (_ITEM_END, _SEQUENCE_END):
                break
            if tag in _SEQUENCES or kind == b"SQ" or length == _UNTIL_END:
                inner = _Walk(self._data, self.at, self._explicit and kind != b"UN")  # of unknown kind: implicit inside
                found[tag] = inner.items(length)
                self.at = inner.at
            else:
                found[tag] = self._data[self.at : self.at + length]
                self.at += length
        return found

    def items(self, length: int) -> list[Elements]:
        """Items of a sequence of a length in bytes."""
        end = len(self._data) if length == _UNTIL_END else self.at + length
        items = []
        while self.at < end:
            tag = self._take("<HH")
            (size,) = self._take("<I")
            if tag != _ITEM:
                break
            items.append(self.elements(len(self._data) if size == _UNTIL_END else self.at + size))
        return items

    def _kind_and_length(self, tag: tuple[int, ...]) -> tuple[bytes, int]:
        """Value representation and length of an element; delimiters have no representation."""
        if not self._explicit or tag[0] == _ITEM[0]:
            return b"", self._take("<I")[0]
        kind = self._take("2s")[0]
        if kind in _LONG_FORMS:
            return kind, self._take("<2xI")[0]
        return kind, self._take("<H")[0]

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self.at)
        self.at += struct.calcsize(layout)
        return values
