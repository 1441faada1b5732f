"""Who is for training, validation and testing; decided by name, per patient."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SplitKind = Literal["published", "hash", "none"]

# BraTS 2020: the split of RFNet (ICCV 2021), which PASSION and DMAF-Net use too; the rest of 1 to 369 trains.
_BRATS_VALIDATION = """
5 18 30 47 68 69 77 92 100 104 107 118 121 123 124 134 137 139 144 147 151 154 156 165 179 195 203 213 216 221 228 236
249 265 270 271 272 293 295 303 309 311 322 331 342 345 354 364 365 366
"""
_BRATS_TEST = """
1 16 17 19 23 32 36 44 50 51 52 56 61 63 65 66 70 72 78 82 86 87 91 94 97 98 99 102 111 112 113 114 120 126 130 132
133 138 145 148 149 152 153 155 160 162 164 174 175 176 181 188 189 190 192 198 206 208 212 222 224 225 229 230 237 238
245 247 262 263 266 268 277 279 281 283 285 287 288 299 300 305 306 310 313 319 320 329 330 332 335 341 343 348 349 352
353 357 362 367
"""
# MyoPS 2020: the labeled training patients, split 20 to 5 by the PASSION authors.
_MYOPS_TEST = "107 111 115 117 120"

_BRATS_2020 = re.compile(r"(?:[HL]G_)?BraTS20_Training_(\d{3})")
_MYOPS_2020 = re.compile(r"myops_training_(1\d\d)(?:_slice_\d+)?")
_TIME_POINT = re.compile(r"(BraTS-[A-Za-z]+-\d{5})-\d{3}")
_SHARES = (0.7, 0.1)  # of patients, for training and validation; the rest is for testing


@dataclass(frozen=True)
class Split:
    """Names of cases in three parts, each in the order they were given."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_names(names: Sequence[str], kind: SplitKind) -> Split:
    """Part a cohort by the names of its cases.

    ``published`` knows BraTS 2020 (219 / 50 / 100 of the 369 training cases) and MyoPS 2020 (20 / 5
    patients, no validation). ``hash`` serves any cohort: a patient's part depends on the patient's
    name alone, so adding cases never moves one (about 70 / 10 / 20 percent). ``none`` trains on all.

    Raises:
        ValueError: ``published`` for a name that neither list knows.
    """
    part = {"published": _published_part, "hash": _hashed_part, "none": lambda _: "train"}[kind]
    parts = {name: part(name) for name in names}
    train, validation, test = (
        tuple(name for name in names if parts[name] == wanted) for wanted in ("train", "validation", "test")
    )
    return Split(train, validation, test)


def patient_of(name: str) -> str:
    """Patient of a case: time points (BraTS 2023) and slices (MyoPS) of one person belong together."""
    visit = _TIME_POINT.fullmatch(name)
    return visit.group(1) if visit else re.sub(r"_slice_\d+$", "", name)


def brats_2020_number(name: str) -> int | None:
    """1 to 369 for a BraTS 2020 training case (with or without the prefix HG_ or LG_), else None."""
    match = _BRATS_2020.fullmatch(name)
    return int(match.group(1)) if match and 1 <= int(match.group(1)) <= 369 else None


def myops_2020_number(name: str) -> int | None:
    """101 to 125 for a patient or slice of the MyoPS 2020 training set, else None."""
    match = _MYOPS_2020.fullmatch(name)
    return int(match.group(1)) if match and 101 <= int(match.group(1)) <= 125 else None


def patient_order(name: str) -> tuple[bool, str]:
    """Sort key of patients in manifests: by name, but BraTS 2020 has high-grade cases first.

    Published names carry the prefix HG_ or LG_ and were sorted as texts. Cases 260 to 335 are the
    low-grade ones.
    """
    number = brats_2020_number(name)
    low_grade = number is not None and 260 <= number <= 335
    return low_grade, name if number is None else f"{number:03d}"


def _published_part(name: str) -> str:
    number = brats_2020_number(name)
    if number is not None:
        if str(number) in _BRATS_TEST.split():
            return "test"
        return "validation" if str(number) in _BRATS_VALIDATION.split() else "train"
    number = myops_2020_number(name)
    if number is None:
        raise ValueError(
            f"There is no published split for case {name!r} (known: BraTS20_Training_001 to _369 and"
            " myops_training_101 to _125); choose the split 'hash' or 'none'."
        )
    return "test" if str(number) in _MYOPS_TEST.split() else "train"


def _hashed_part(name: str) -> str:
    place = int.from_bytes(hashlib.sha256(patient_of(name).encode()).digest()[:8]) / 2**64
    train, validation = _SHARES
    if place < train:
        return "train"
    return "validation" if place < train + validation else "test"
