"""What prepare writes: right values, whole cases, the same bytes however often it was interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DMAFTraining.data.datasets import BRATS, MYOPS
from DMAFTraining.data.index import Preparation, read_index
from DMAFTraining.data.opening import open_or_prepare
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.problems import BadCohortError
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.data.store import PatchStore
from DMAFTraining.inference.preprocessing import zscore_brain

Write = Callable[..., Any]

ROOT = Path(__file__).parents[2]


def content(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("*/*.npy")}


def test_values_crop_and_record_of_a_case(tmp_path: Path, write_case: Write) -> None:
    arrays = write_case(tmp_path / "raw" / "p", "p", ("t1", "flair"))
    arrays = {name: array[::-1, ::-1] for name, array in arrays.items()}
    seen = []
    store = prepare_store(
        find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1, on_case=lambda *done: seen.append(done)
    )
    assert seen == [(1, 1)]
    case = store.cases[0]
    # The border is two planes; the last brain plane is inside the box.
    assert case.box == ((2, 12), (2, 14), (2, 10))
    assert case.shape == (10, 12, 8)
    assert (case.available, case.background, case.patient) == (("t1", "flair"), (0.0, 0.0), "p")
    assert case.voxels == (10 * 12 * 8 - 180, 1, 180 - 27, 26)
    box = tuple(slice(low, high) for low, high in case.box)
    flair = np.load(store.path / "p" / "flair.npy")
    assert (flair.dtype, flair.flags.c_contiguous) == (np.float16, True)
    assert np.array_equal(flair, zscore_brain(arrays["flair"].astype(np.float32))[box].astype(np.float16))
    labels = np.load(store.path / "p" / "seg.npy")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.where(arrays["seg"] == 4, 3, arrays["seg"])[box])
    foreground = np.load(store.path / "p" / "foreground.npy")
    assert np.array_equal(labels[tuple(foreground[:, 1:].T)], foreground[:, 0])
    assert np.bincount(foreground[:, 0]).tolist() == [0, 1, 153, 26]
    assert sorted(path.name for path in (store.path / "p").iterdir()) == [
        "flair.npy", "foreground.npy", "seg.npy", "t1.npy",
    ]  # fmt: skip


def test_published_intensities(tmp_path: Path, write_image: Write) -> None:
    """Two sequences of which one is dark where the other is brain: one shared mask, background shifted."""
    t1 = np.zeros((4, 2, 2), np.int16)
    t2 = np.zeros((4, 2, 2), np.int16)
    t1[1:3] = [[[1, 3], [1, 3]], [[1, 3], [1, 3]]]
    t2[2:3] = 8
    for name, array in {"t1": t1, "t2": t2, "seg": (t1 > 0).astype(np.uint8)}.items():
        write_image(tmp_path / "raw" / f"p_{name}.nii.gz", array[::-1, ::-1])
    cohort = find_cohort(tmp_path / "raw", BRATS)
    shifted = prepare_store(cohort, tmp_path / "a", Preparation("zscore-shared", "shifted"), processes=1)
    images, _ = shifted.read_case(0)
    assert images.shape == (4, 2, 2, 2)
    # T1 has mean 2 and deviation 1 over eight voxels; T2 is 0 in four and 8 in four: mean 4, deviation 4.
    assert images[0].ravel().tolist() == [-1, 1, -1, 1, -1, 1, -1, 1]
    assert images[3].ravel().tolist() == [-1, -1, -1, -1, 1, 1, 1, 1]
    assert shifted.cases[0].background == (-2.0, -1.0)
    outside, labels = shifted.read_patch(0, (-1, 0, 0), (2, 2, 2), (0, 3))
    assert (outside[0, 0] == -2).all()
    assert (outside[1, 0] == -1).all()
    assert not labels[0].any()
    zero = prepare_store(cohort, tmp_path / "b", Preparation("zscore-shared", "zero"), processes=1)
    assert zero.cases[0].background == (0.0, 0.0)
    assert np.array_equal(zero.read_case(0)[0], images)


def test_a_case_without_labels_in_it(tmp_path: Path, write_case: Write, write_image: Write) -> None:
    arrays = write_case(tmp_path / "raw" / "p", "p")
    write_image(tmp_path / "raw" / "p" / "p_seg.nii.gz", arrays["seg"] * 0)
    store = prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
    assert store.foreground(0).shape == (0, 4)
    assert store.cases[0].voxels == (960, 0, 0, 0)
    assert PatchStore.open(store.path, in_memory=True).foreground(0).shape == (0, 4)


def test_hearts_become_slices_of_256(tmp_path: Path, write_image: Write) -> None:
    rng = np.random.default_rng(0)
    shape = (300, 200, 11)
    arrays = {token: rng.integers(1, 500, shape).astype(np.int16) for token in ("C0", "T2")}
    labels = np.zeros(shape, np.int16)
    labels[140:160, 90:110, 2] = 500
    for token, array in {**arrays, "gd": labels}.items():
        write_image(tmp_path / "raw" / f"myops_training_101_{token}.nii.gz", array, spacing=(0.75, 0.8, 12.0))
    store = prepare_store(find_cohort(tmp_path / "raw", MYOPS), tmp_path / "store", processes=1)
    assert store.names == tuple(f"myops_training_101_slice_{k}" for k in range(11))  # 10 comes after 9
    assert set(store.patients) == {"myops_training_101"}
    case = store.cases[2]
    assert case.box == ((22, 278), (-28, 228))
    assert (case.shape, store.spacing) == ((256, 256), (0.75, 0.8))
    assert case.spacing == pytest.approx((0.75, 0.8, 12.0))
    images, found = store.read_case(2)
    assert np.array_equal(found[118:138, 118:138], np.ones((20, 20)))
    assert found.sum() == 400
    assert not images[1].any()
    assert not images[0, :, :28].any()
    volume = arrays["C0"].astype(np.float64)
    wanted = (volume[22:278, :, 2] - volume.mean()) / volume.std()
    assert images[0, :, 28:228] == pytest.approx(wanted, abs=2e-3)


def test_the_same_call_again_writes_nothing(tmp_path: Path, write_case: Write) -> None:
    for n in range(3):
        write_case(tmp_path / "raw" / f"p{n}", f"p{n}", seed=n)
    cohort = find_cohort(tmp_path / "raw", BRATS)
    first = prepare_store(cohort, tmp_path / "store", processes=1)
    times = {name: (first.path / name).stat().st_mtime_ns for name in first.names}
    write_case(tmp_path / "raw" / "p1", "p1", seed=50)
    second = prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
    changed = [name for name in second.names if (second.path / name).stat().st_mtime_ns != times[name]]
    assert changed == ["p1"]
    assert second.index.sha256 != first.index.sha256
    third = prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", Preparation("zscore-shared"), 1)
    assert all((third.path / name).stat().st_mtime_ns != times[name] for name in third.names)


def test_a_store_that_is_worked_on_is_not_finished(tmp_path: Path, write_case: Write) -> None:
    write_case(tmp_path / "raw" / "p", "p")
    store = prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
    write_case(tmp_path / "raw" / "q", "q")
    (tmp_path / "raw" / "q" / "q_seg.nii.gz").unlink()
    with pytest.raises(BadCohortError, match="q: it has no label map"):
        prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
    with pytest.raises(ValueError, match="not a finished store"):
        PatchStore.open(store.path)


def test_processes_do_not_change_the_result(tmp_path: Path, write_case: Write) -> None:
    for n in range(3):
        write_case(tmp_path / "raw" / f"p{n}", f"p{n}", seed=n)
    cohort = find_cohort(tmp_path / "raw", BRATS)
    alone = prepare_store(cohort, tmp_path / "one", processes=1)
    together = prepare_store(cohort, tmp_path / "two", processes=2)
    assert alone.index == together.index
    assert content(tmp_path / "one") == content(tmp_path / "two")


KILLED = """
import os, signal, sys
from pathlib import Path
from DMAFTraining.data import preparing
from DMAFTraining.data.datasets import BRATS
from DMAFTraining.data.readers import find_cohort

real, left = getattr(preparing, sys.argv[3]), [3]

def deadly(*arguments, **options):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(preparing, sys.argv[3], deadly)
preparing.prepare_store(find_cohort(Path(sys.argv[1]), BRATS), Path(sys.argv[2]), processes=1)
"""


@pytest.mark.parametrize("moment", ["place_folder", "write_atomically"])
def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path, write_case: Write, moment: str) -> None:
    for n in range(4):
        write_case(tmp_path / "raw" / f"p{n}", f"p{n}", seed=n)
    cohort = find_cohort(tmp_path / "raw", BRATS)
    whole = prepare_store(cohort, tmp_path / "whole", processes=1)
    store = tmp_path / "store"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "raw"), str(store), moment]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with pytest.raises(ValueError, match="not a finished store"):
        PatchStore.open(store)
    found = content(store)
    there = {name.split("/")[0] for name in found if name[0] != "."}
    assert there == ({"p0", "p1"} if moment == "place_folder" else {"p0", "p1", "p2"})
    assert {name: found[name] for name in found if name[0] != "."} == {
        name: data for name, data in content(tmp_path / "whole").items() if name.split("/")[0] in there
    }
    kept = (store / "p1").stat().st_mtime_ns
    resumed = prepare_store(cohort, store, processes=1)
    assert (store / "p1").stat().st_mtime_ns == kept
    assert resumed.index == whole.index
    assert content(store) == content(tmp_path / "whole")
    assert sorted(path.name for path in store.iterdir()) == [".records", "index.json", "p0", "p1", "p2", "p3"]


def test_a_process_that_dies_is_reported(tmp_path: Path, write_case: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from DMAFTraining.data import pool

    for n in range(2):
        write_case(tmp_path / "raw" / f"p{n}", f"p{n}", seed=n)

    def die(_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(pool, "as_completed", die)
    with pytest.raises(ValueError, match="with fewer processes"):
        prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=2)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, write_case: Write) -> None:
    write_case(tmp_path / "raw" / "p", "p")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important", encoding="utf-8")
    with pytest.raises(ValueError, match="holds other files"):
        prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "mine", processes=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_cases_of_another_voxel_size_are_named(tmp_path: Path, write_case: Write, write_image: Write) -> None:
    for n in range(3):
        arrays = write_case(tmp_path / "raw" / f"p{n}", f"p{n}", seed=n)
    for what, array in arrays.items():
        write_image(tmp_path / "raw" / "p2" / f"p2_{what}.nii.gz", array, spacing=(2.0, 2.0, 2.0))
    with pytest.raises(
        BadCohortError, match=r"p2: it has voxels of 2 x 2 x 2 mm, most cases of 1 x 1 x 1 mm\. Resample it"
    ):
        prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)


def test_opening_prepares_once(tmp_path: Path, write_case: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write_case(tmp_path / "raw" / "p", "p")
    with pytest.raises(ValueError, match="also give a store"):
        open_or_prepare(tmp_path / "raw")
    first = open_or_prepare(tmp_path / "raw", tmp_path / "store", processes=1)
    assert "Preparing 1/1" in capsys.readouterr().err
    assert open_or_prepare(tmp_path / "raw", tmp_path / "store", processes=1).index == first.index
    assert capsys.readouterr().err == ""
    write_case(tmp_path / "raw" / "q", "q", seed=3)
    assert open_or_prepare(tmp_path / "raw", tmp_path / "store", processes=1).names == ("p", "q")
    assert open_or_prepare(tmp_path / "store").names == ("p", "q")
    with pytest.raises(ValueError, match="was prepared as"):
        open_or_prepare(tmp_path / "store", preparation=Preparation("zscore-shared"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "not the index of a store"),
        ({"version": 99}, "format version 99"),
        ({"dataset": "liver"}, "Unknown data set 'liver'"),
        ({"cases": [{"name": "p"}]}, "is damaged"),
        ({"modalities": [{"name": "t1"}]}, "are not those of the data set"),
    ],
)
def test_a_strange_index_is_refused(store: PatchStore, change: dict[str, object], message: str) -> None:
    path = store.path / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        PatchStore.open(store.path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read"):
        read_index(store.path)


def test_the_index_reads_back_equal(store: PatchStore) -> None:
    assert read_index(store.path) == store.index
    assert replace(store.index, source="elsewhere").sha256 == store.index.sha256
