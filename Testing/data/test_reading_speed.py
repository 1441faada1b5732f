"""The store benchmark: every way gives the same patch, bytes are counted right, and a wrong patch is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DMAFTraining.benchmark import main
from DMAFTraining.benchmarking.reading import FromArrays, FromFiles, FromStore, PatchKey
from DMAFTraining.benchmarking.reading_speed import check_equal, draw_keys, measure, prepare_patch
from DMAFTraining.data.datasets import BRATS, MYOPS
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.data.store import PatchStore

Write = Callable[..., Any]

BOX = ((1, 5), (2, 6), (-1, 3))  # leaves the case at one side


def raw_of(store: PatchStore) -> dict[str, Any]:
    return {case.name: case for case in find_cohort(store.path.parent / "raw", store.spec).cases}


def test_three_ways_one_patch(store: PatchStore) -> None:
    arrays, files = FromArrays(store, store.path.parent / "arrays", {0, 1}), FromFiles(store, raw_of(store))
    for key in (PatchKey(0, BOX, (0, 3)), PatchKey(1, BOX, (2,))):
        wanted = prepare_patch(store, files.source(key.case), key)
        for way in (FromStore(store), arrays):
            check_equal(way.read(key), wanted, way.title)
            assert way.read(key)[0].shape == (len(key.channels), 4, 4, 4)
    assert len(files.read(PatchKey(1, BOX, (2,)))) == 4  # three sequences and the labels: all that there is
    changed = wanted[0].copy()
    changed[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="b: the patch differs"):
        check_equal((changed, wanted[1]), wanted, "b")


def test_bytes_are_those_of_files_and_pages(store: PatchStore) -> None:
    key = PatchKey(0, ((0, 10), (0, 12), (0, 8)), (0, 3))
    arrays, files = FromArrays(store, store.path.parent / "arrays", {0}), FromFiles(store, raw_of(store))
    # 10 x 12 x 8 voxels of 2 bytes in two sequences and of 1 byte: each array lies on its first page.
    assert FromStore(store).count_bytes(key) == 3 * 4096
    header = 128
    assert arrays.count_bytes(key) == 4 * 960 * 4 + header + 960 + header
    assert files.count_bytes(key) == sum(path.stat().st_size for path in (store.path.parent / "raw" / "a").iterdir())


def test_pages_of_a_large_array(tmp_path: Path, write_image: Write) -> None:
    """A plane of 64 x 64 voxels of 2 bytes is two pages; the header shifts it over three."""
    rng = np.random.default_rng(0)
    image = rng.integers(1, 99, (8, 64, 64)).astype(np.int16)
    for what, array in {"t1": image, "seg": (image > 98).astype(np.uint8)}.items():
        write_image(tmp_path / "raw" / f"p_{what}.nii.gz", array)
    store = prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
    assert store.cases[0].shape == (8, 64, 64)
    one_plane = PatchKey(0, ((3, 4), (0, 64), (0, 64)), (0,))
    assert FromStore(store).count_bytes(one_plane) == (3 + 2) * 4096  # of labels, one page over two


def test_keys_stay_in_the_case_and_show_what_exists(store: PatchStore) -> None:
    keys = draw_keys(store, (4, 20, 5), (0.2, 0.4, 0.6, 0.8), 40)
    assert len({key.box for key in keys}) > 10
    for key in keys:
        shape = store.cases[key.case].shape
        assert all(low >= 0 for low, _ in key.box)
        assert key.box[0][1] <= shape[0]
        assert key.box[1] == (0, 20)  # larger than the case
        assert set(key.channels) <= set(np.flatnonzero(store.available[key.case]))
        assert key.channels
    with pytest.raises(ValueError, match="2 missing rates were given for 4 sequences"):
        draw_keys(store, (4, 4, 4), (0.2, 0.4), 1)


def test_figures_have_the_order_of_the_ways(store: PatchStore) -> None:
    ways = [FromStore(store), FromArrays(store, store.path.parent / "arrays", {0})]
    figures = list(measure(ways, [PatchKey(0, BOX, (0,))], 2))
    assert [row.title for row in figures] == [way.title for way in ways]
    assert np.isfinite([(row.warm, row.cold) for row in figures]).all()
    assert figures[1].bytes == ways[1].count_bytes(PatchKey(0, BOX, (0,)))


def test_the_command_on_a_folder(store: PatchStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["store", "--cohort", str(tmp_path / "raw"), "--work", str(tmp_path), "--rounds", "1"]
    assert main([*command, "--patch", "4", "4", "4", "--patches", "5"]) == 0
    out = capsys.readouterr().out
    assert "5 patches of 4x4x4 voxels from 4 cases, equal whichever way they are read." in out
    assert out.count("\n| ") == 5 - 1  # header and three ways
    assert "| 1.0 | 1.0 | 1.0 |" in out
    assert main([*command, "--patch", "4", "4"]) == 2
    assert "have 3 axes" in capsys.readouterr().err


def test_slices_come_from_the_volumes_of_their_patient(tmp_path: Path, write_image: Write) -> None:
    image = np.random.default_rng(0).integers(1, 99, (20, 20, 3)).astype(np.int16)
    for token, array in {"C0": image, "gd": (image > 90) * np.int16(500)}.items():
        write_image(tmp_path / "raw" / f"p_{token}.nii.gz", array)
    store = prepare_store(find_cohort(tmp_path / "raw", MYOPS), tmp_path / "store", processes=1)
    files = FromFiles(store, raw_of(store))
    key = PatchKey(1, ((120, 136), (110, 126)), (0,))
    wanted = prepare_patch(store, files.source(1), key)
    assert wanted[0].any()
    check_equal(FromStore(store).read(key), wanted, "slice")
    check_equal(FromArrays(store, tmp_path / "arrays", {1}).read(key), wanted, "slice")
