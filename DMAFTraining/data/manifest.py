"""Missing-rate manifests as CSV files: who is allowed to show which sequence.

The own layout is ``name,<sequence>,<sequence>,...`` with a row of 0 and 1 per patient or case.
The layout of the published BraTS tables (``data_name,mask_id,mask,pos_mask_ids``) is read as well.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from DMAFTraining.data.files import write_atomically
from DMAFTraining.data.missing import Presence
from DMAFTraining.data.splits import patient_of
from DMAFTraining.modalities import ModalitySet

Rows = Mapping[str, tuple[bool, ...]]
"""Presence by name of patient or case, in channel order."""

_PUBLISHED_HEADER = ["data_name", "mask_id", "mask", "pos_mask_ids"]
_PUBLISHED_ORDER = ("flair", "t1ce", "t1", "t2")
# Index: mask_id; digits: _PUBLISHED_ORDER.
_PUBLISHED_MASKS = "0001 0100 0010 1000 0101 0110 1010 0011 1001 1100 1110 1011 1101 0111 1111"
_MASK = re.compile(r"\[{0}(?:, ?{0}){{3}}\]".format(r"(?:True|False|np\.True_|np\.False_)"))
_FLAG = re.compile(r"True|False")


class _BadRowError(ValueError):
    """What is wrong with a row."""


def write_manifest(path: Path, names: Sequence[str], modalities: ModalitySet, presence: Presence) -> None:
    """Write ``presence (N, M)`` with a row per name; the file appears whole or not at all."""
    lines = [["name", *modalities.names]]
    lines += [[name, *("01"[int(flag)] for flag in row)] for name, row in zip(names, presence, strict=True)]
    write_atomically(path, "".join(",".join(line) + "\n" for line in lines).encode())


def read_manifest(path: Path, modalities: ModalitySet) -> Rows:
    """Read either layout; columns are found by name (aliases too), so their order is free.

    Raises:
        ValueError: missing or unreadable, another layout, an odd cell, a name twice, or a row
            without any sequence; the line is named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The manifest {path} cannot be read: {error}.") from error
    if not lines:
        raise ValueError(f"The manifest {path} is empty.")
    parse = _row_parser(lines[0], modalities, path)
    rows: dict[str, tuple[bool, ...]] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        try:
            name, flags = parse(line)
            if name in rows:
                raise _BadRowError(f"{name} is listed twice")
            if not any(flags):
                raise _BadRowError(f"{name} has no sequence at all")
        except _BadRowError as problem:
            raise ValueError(f"The manifest {path} is wrong in line {number}: {problem}.") from problem
        rows[name] = flags
    return rows


def look_up(rows: Rows, names: Sequence[str]) -> Presence:
    """Presence ``(N, M)`` of cases: the row of the case itself, else that of its patient.

    The published prefixes HG_ and LG_ are ignored.

    Raises:
        ValueError: a case that the manifest does not list.
    """
    plain = {re.sub(r"^[HL]G_", "", name): flags for name, flags in rows.items()}
    keys = [re.sub(r"^[HL]G_", "", name) for name in names]
    found = [plain.get(key, plain.get(patient_of(key))) for key in keys]
    unknown = [name for name, flags in zip(names, found, strict=True) if flags is None]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise ValueError(f"The manifest has no row for {', '.join(unknown[:3])}{more}; add them or draw a new one.")
    return np.array([flags for flags in found if flags is not None], bool)


def _row_parser(
    header: Sequence[str], modalities: ModalitySet, path: Path
) -> Callable[[Sequence[str]], tuple[str, tuple[bool, ...]]]:
    if [cell.strip() for cell in header] == _PUBLISHED_HEADER:
        if sorted(modalities.names) != sorted(_PUBLISHED_ORDER):
            raise ValueError(f"The manifest {path} is for {', '.join(_PUBLISHED_ORDER)}, the data set has others.")
        return lambda line: _published_row(line, modalities)
    columns = [modalities.resolve(cell) for cell in header[1:]]
    if header[0].strip() != "name" or sorted(map(str, columns)) != sorted(modalities.names):
        wanted = ",".join(["name", *modalities.names])
        raise ValueError(f"The manifest {path} should begin with {wanted!r}, not {','.join(header)!r}.")
    order = [columns.index(name) for name in modalities.names]
    return lambda line: _own_row(line, order)


def _own_row(line: Sequence[str], order: Sequence[int]) -> tuple[str, tuple[bool, ...]]:
    name, *cells = (cell.strip() for cell in line)
    if len(cells) != len(order) or not name:
        raise _BadRowError(f"expected a name and {len(order)} cells")
    odd = [cell for cell in cells if cell not in ("0", "1")]
    if odd:
        raise _BadRowError(f"{name} has {odd[0]!r} where 0 or 1 should be")
    return name, tuple(cells[column] == "1" for column in order)


def _published_row(line: Sequence[str], modalities: ModalitySet) -> tuple[str, tuple[bool, ...]]:
    if len(line) != len(_PUBLISHED_HEADER):
        raise _BadRowError(f"expected {len(_PUBLISHED_HEADER)} cells")
    name, number, mask, _ = (cell.strip() for cell in line)
    if not _MASK.fullmatch(mask):
        raise _BadRowError(f"{name} has {mask!r} where a list of four times True or False should be")
    flags = [flag == "True" for flag in _FLAG.findall(mask)]
    digits = "".join("01"[int(flag)] for flag in flags)
    masks = _PUBLISHED_MASKS.split()
    if not (number.isdecimal() and int(number) < len(masks) and masks[int(number)] == digits):
        raise _BadRowError(f"{name} has mask_id {number!r}, which does not belong to {mask}")
    return name, tuple(flags[_PUBLISHED_ORDER.index(modality)] for modality in modalities.names)
