"""What is kept for the next run: found again by content only, never wrong, private, and gone after a month."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.scans.cache import ScanCache, content_key
from DMAFTraining.inference.scans.cache_folder import default_cache

KEY = "0" * 63 + "a"
MASK = np.arange(24).reshape(2, 3, 4) % 5 == 0
SHAPES = {"mask": (2, 3, 4), "matrix": (4, 4)}
MATRIX = np.eye(4) + np.arange(16).reshape(4, 4) / 3


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A cache folder with one entry."""
    folder = tmp_path / "cache"
    ScanCache(folder).put(KEY, {"mask": MASK, "matrix": MATRIX})
    return folder


def _entry(folder: Path) -> Path:
    (entry,) = folder.iterdir()
    return entry


def _volume() -> Volume:
    return Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), Grid((2, 3, 4), np.eye(4)), "a.nii.gz")


def test_gives_back_the_same_bytes(kept: Path) -> None:
    found = ScanCache(kept).get(KEY, SHAPES)
    assert found is not None
    assert found["mask"].tobytes() == MASK.tobytes()
    assert found["matrix"].tobytes() == MATRIX.tobytes()


def test_nothing_is_found_under_another_key_or_without_a_folder(kept: Path) -> None:
    assert ScanCache(kept).get("0" * 64, SHAPES) is None
    nowhere = ScanCache(None)
    nowhere.put(KEY, {"mask": MASK})
    assert nowhere.get(KEY, {"mask": (2, 3, 4)}) is None


def test_an_entry_of_another_shape_or_without_an_array_counts_as_absent(kept: Path) -> None:
    assert ScanCache(kept).get(KEY, {"mask": (2, 3, 5)}) is None
    assert ScanCache(kept).get(KEY, {"field": (2, 3, 4)}) is None


def test_any_damaged_byte_gives_the_right_arrays_or_none(kept: Path) -> None:
    whole = _entry(kept).read_bytes()
    absent = 0
    for position in range(len(whole)):
        _entry(kept).write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        found = ScanCache(kept).get(KEY, SHAPES)
        absent += found is None
        if found is not None:  # a byte that nobody reads, such as the time of an archive member
            assert np.array_equal(found["mask"], MASK)
            assert np.array_equal(found["matrix"], MATRIX)
    assert absent > len(whole) / 2


def test_a_cut_off_entry_counts_as_absent_and_is_replaced(kept: Path) -> None:
    whole = _entry(kept).read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        _entry(kept).write_bytes(whole[:length])
        assert ScanCache(kept).get(KEY, SHAPES) is None
    ScanCache(kept).put(KEY, {"mask": MASK, "matrix": MATRIX})
    assert ScanCache(kept).get(KEY, SHAPES) is not None


def test_an_entry_with_pickled_objects_is_never_unpacked(kept: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(kept / "trap"),))

    np.savez(_entry(kept), mask=np.array([Trap()], dtype=object), matrix=MATRIX)
    assert ScanCache(kept).get(KEY, {"mask": (1,)}) is None
    assert not (kept / "trap").exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps the user's folders private by itself")
def test_only_the_user_can_read_it(kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert stat.S_IMODE(_entry(kept).stat().st_mode) == 0o600


def test_entries_of_more_than_30_days_are_removed_and_nothing_else(kept: Path) -> None:
    now = time.time()
    ages = {"b": 29, "c": 31}
    for letter, days in ages.items():
        path = kept / ("0" * 63 + letter + ".npz")
        path.write_bytes(b"x")
        os.utime(path, (now - days * 86400,) * 2)
    foreign = kept / "thesis.npz"
    foreign.write_bytes(b"x")
    os.utime(foreign, (0, 0))
    ScanCache(kept)
    assert sorted(path.name for path in kept.iterdir()) == ["0" * 63 + "a.npz", "0" * 63 + "b.npz", "thesis.npz"]


def test_a_folder_that_cannot_be_made_or_written_only_costs_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    cache = ScanCache(blocked / "cache")
    cache.put(KEY, {"mask": MASK})
    assert cache.get(KEY, {"mask": (2, 3, 4)}) is None
    assert list(tmp_path.iterdir()) == [blocked]


def test_key_follows_from_content_and_choices_and_not_from_the_file() -> None:
    volume = _volume()
    key = content_key("brain", "deepbet 1.0.2", {"head": volume})
    assert content_key("brain", "deepbet 1.0.2", {"head": replace(volume, source="b.nrrd")}) == key
    voxel = volume.array.copy()
    voxel[1, 2, 3] += 1
    others = [
        content_key("registration", "deepbet 1.0.2", {"head": volume}),
        content_key("brain", "deepbet 1.0.3", {"head": volume}),
        content_key("brain", "deepbet 1.0.2", {"moving": volume}),
        content_key("brain", "deepbet 1.0.2", {"head": volume}, threshold=0.5),
        content_key("brain", "deepbet 1.0.2", {"head": replace(volume, array=voxel)}),
        content_key("brain", "deepbet 1.0.2", {"head": replace(volume, grid=Grid((2, 3, 4), 2 * np.eye(4)))}),
        content_key("brain", "deepbet 1.0.2", {"head": replace(volume, array=volume.array.reshape(4, 3, 2))}),
    ]
    assert len({key, *others}) == 8


def test_moving_and_fixed_are_not_the_same_as_fixed_and_moving() -> None:
    a, b = _volume(), replace(_volume(), array=_volume().array[::-1].copy())
    assert content_key("r", "t", {"moving": a, "fixed": b}) != content_key("r", "t", {"moving": b, "fixed": a})


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/c"}, "/c/DMAFSegment/scans"),
        ("linux", {"XDG_CACHE_HOME": "c"}, "/home/u/.cache/DMAFSegment/scans"),
        ("linux", {}, "/home/u/.cache/DMAFSegment/scans"),
        ("darwin", {"XDG_CACHE_HOME": "/c"}, "/home/u/Library/Caches/DMAFSegment/scans"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/DMAFSegment/scans"),
    ],
)
def test_default_folder_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/u")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_cache() == Path(expected)
