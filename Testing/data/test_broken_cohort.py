"""A folder with every defect people meet: one run of the real command names them all, a second one ends the work."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.data import preparing
from DMAFTraining.data.datasets import BRATS
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.problems import BadCaseError, BadCohortError
from DMAFTraining.data.readers import find_cohort, recognize
from DMAFTraining.data.store import PatchStore
from DMAFTraining.data.volumes import load_case
from DMAFTraining.prepare import main

Write = Callable[..., Any]

ROOT = Path(__file__).parents[2]
LEFT_TO_RIGHT = (-1, 0, 0, 0, 1, 0, 0, 0, 1)  # direction of an image whose first axis runs the other way
FAR_END = (13.0, 0.0, 0.0)  # where that axis begins, so that the image covers the same space
ONE = ["--processes", "1"]


def sloped(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same images with a brain that is narrower on one side, as no brain equals its mirror image."""
    slope = np.add.outer(np.arange(14), np.arange(16))[:, :, None] > 14
    return {name: array * slope.astype(array.dtype) for name, array in arrays.items()}


def write_4d(path: Path, array: np.ndarray, volumes: int = 2) -> None:
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    sitk.WriteImage(sitk.JoinSeries([image] * volumes), str(path))


@pytest.fixture
def broken(tmp_path: Path, write_case: Write, write_image: Write) -> Path:
    """Two good cases and, for each defect, one case that has it and nothing else."""
    root = tmp_path / "raw"
    names = [
        "good-1", "good-2", "grid", "nan", "unlabeled", "cut", "four", "zero", "empty", "half", "double", "flipped",
        "mirrored", "odd", "junk", "value", "flat",
    ]  # fmt: skip
    arrays = {name: write_case(root / name, name, seed=n) for n, name in enumerate(names)}
    write_image(root / "grid" / "grid_t1ce.nii.gz", arrays["grid"]["t1ce"], spacing=(1.0, 1.0, 1.5))
    image = arrays["nan"]["flair"].astype(np.float32)
    image[3, 3, 3] = np.nan
    write_image(root / "nan" / "nan_flair.nii.gz", image)
    (root / "unlabeled" / "unlabeled_seg.nii.gz").unlink()
    whole = (root / "cut" / "cut_t1.nii.gz").read_bytes()
    (root / "cut" / "cut_t1.nii.gz").write_bytes(whole[: len(whole) // 2])
    write_4d(root / "four" / "four_t2.nii.gz", arrays["four"]["t2"])
    (root / "zero" / "zero_t1ce.nii.gz").write_bytes(b"")
    write_image(root / "empty" / "empty_t1.nii.gz", np.zeros_like(arrays["empty"]["t1"]))
    write_image(root / "half" / "half_seg.nii.gz", arrays["half"]["seg"] * np.float32(0.5))
    write_case(root / "again" / "double", "double", seed=99)
    write_image(root / "flipped" / "flipped_t2.nii.gz", arrays["flipped"]["t2"], direction=LEFT_TO_RIGHT)
    for what, array in sloped(arrays["mirrored"]).items():
        turned = {"direction": LEFT_TO_RIGHT, "origin": FAR_END} if what == "flair" else {}
        write_image(root / "mirrored" / f"mirrored_{what}.nii.gz", array, **turned)
    (root / "odd" / "odd_t1.nii.gz").rename(root / "odd" / "odd_perfusion.nii.gz")
    (root / "junk" / "junk_t2.nii.gz").write_bytes(b"<html>404 Not Found</html>")
    write_image(root / "value" / "value_seg.nii.gz", arrays["value"]["seg"] + np.uint8(3))
    write_image(root / "flat" / "flat_flair.nii.gz", (arrays["flat"]["flair"] > 0).astype(np.int16))
    return root


# case: file, what is wrong, what to do
PLANTED = {
    "cut": ("cut/cut_t1.nii.gz", "is cut off or damaged", "Copy or export it again."),
    "double": ("again/double/double_flair.nii.gz", "more than once: ", "Keep one"),
    "empty": ("empty/empty_t1.nii.gz", "is empty: every voxel has the value 0", "Export it again"),
    "flat": ("flat/flat_flair.nii.gz", "has no contrast inside the brain", "It may be a mask"),
    "flipped": ("flipped/flipped_t2.nii.gz", "axis x runs the other way", "copy that header"),
    "four": ("four/four_t2.nii.gz", "is not a 3-D image (its size is 14 x 16 x 12 x 2)", "Export one volume a file."),
    "grid": ("grid/grid_t1ce.nii.gz", "its voxels are [1.0, 1.0, 1.5] mm, not [1.0, 1.0, 1.0] mm", "Resample it"),
    "half": ("half/half_seg.nii.gz", "values that are not whole numbers", "nearest neighbor"),
    "junk": ("junk/junk_t2.nii.gz", "cannot be read as an image", "Copy or export it again."),
    "mirrored": ("mirrored/mirrored_flair.nii.gz", "than in mirrored_t1.nii.gz, but voxels that do not", "Copy the"),
    "nan": ("nan/nan_flair.nii.gz", "holds 1 voxel(s) that are not numbers", "Export it again."),
    "odd": ("odd/odd_perfusion.nii.gz", "does not say which sequence it is", "Name it <case>_<t1|t1ce|flair|t2|seg>"),
    "unlabeled": ("it", "has no label map", "Add unlabeled_seg.nii.gz"),
    "value": ("value/value_seg.nii.gz", "values 3, 4, 5, 7; expected are 0, 1, 2, 4 or 0, 1, 2, 3", "Translate"),
    "zero": ("zero/zero_t1ce.nii.gz", "is empty (0 bytes)", "Copy or export it again."),
}  # fmt: skip


def run_prepare(root: Path, store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "DMAFTraining.prepare", "brats", "--root", str(root), "--output", str(store), *ONE]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_defect_is_named_in_one_run_and_a_repair_ends_it(broken: Path, tmp_path: Path, write_case: Write) -> None:
    store = tmp_path / "store"
    first = run_prepare(broken, store)
    assert first.returncode == 2
    assert first.stdout == ""
    assert "Traceback" not in first.stderr
    lines = {line.split(":")[0].strip(): line for line in first.stderr.splitlines() if line.startswith("  ")}
    assert sorted(lines) == sorted(PLANTED)
    for case, (file, what, remedy) in PLANTED.items():
        subject = file if file == "it" else str(broken / file)
        assert f"{case}: {subject} " in lines[case]
        assert what in lines[case]
        assert remedy in lines[case]
    assert "error: 15 problems in 15 cases:" in first.stderr
    # The case with the oddly named file is whole without it: as far as prepare can know, it lacks T1.
    assert "3 cases ready: kept, not prepared again." in first.stderr
    assert not (store / "index.json").exists()

    kept = {name: (store / name / "t1.npy").stat().st_mtime_ns for name in ("good-1", "good-2")}
    for n, name in enumerate(PLANTED):
        write_case(broken / name, name, seed=n)
    (broken / "odd" / "odd_perfusion.nii.gz").unlink()
    for file in (broken / "again" / "double").iterdir():
        file.unlink()
    second = run_prepare(broken, store)
    assert (second.returncode, second.stderr.count("error")) == (0, 0)
    assert "17 cases in" in second.stdout
    assert PatchStore.open(store).names == tuple(sorted({*PLANTED, "good-1", "good-2"}))
    assert {name: (store / name / "t1.npy").stat().st_mtime_ns for name in kept} == kept


def test_the_good_cases_of_a_broken_folder_can_be_used_alone(broken: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCohortError) as report:
        prepare_store(recognize(broken), tmp_path / "store", processes=1)
    assert {problem.case for problem in report.value.problems} == set(PLANTED)
    before = (tmp_path / "store" / "good-1").stat().st_mtime_ns
    rows = [
        f"{name},{broken}/{name}/{name}_t1.nii.gz,{broken}/{name}/{name}_seg.nii.gz" for name in ("good-1", "good-2")
    ]
    (tmp_path / "cases.csv").write_text("\n".join(["case,t1,labels", *rows]), encoding="utf-8")
    other = ["cases", "--manifest", str(tmp_path / "cases.csv"), "--dataset", "brats", "--output", str(tmp_path / "b")]
    assert main([*other, *ONE]) == 0
    for folder in broken.iterdir():
        if not folder.name.startswith("good"):
            for file in folder.rglob("*.nii.gz"):
                file.unlink()
    store = prepare_store(recognize(broken), tmp_path / "store", processes=1)
    assert store.names == ("good-1", "good-2")
    assert sorted(p.name for p in store.path.iterdir() if p.is_dir() and p.name[0] != ".") == ["good-1", "good-2"]
    assert (tmp_path / "store" / "good-1").stat().st_mtime_ns == before


def test_a_consistent_flip_is_the_same_image(tmp_path: Path, write_case: Write, write_image: Write) -> None:
    """Voxels and header turned together: nothing to name, and the same voxels as before."""
    arrays = sloped(write_case(tmp_path / "raw" / "p", "p"))
    for what, array in arrays.items():
        write_image(tmp_path / "raw" / "p" / f"p_{what}.nii.gz", array)
    plain = load_case(find_cohort(tmp_path / "raw", BRATS).cases[0], BRATS)
    for what in ("t2", "seg"):
        flipped = arrays[what][::-1]
        path = tmp_path / "raw" / "p" / f"p_{what}.nii.gz"
        write_image(path, flipped, direction=LEFT_TO_RIGHT, origin=FAR_END)
    turned = load_case(find_cohort(tmp_path / "raw", BRATS).cases[0], BRATS)
    assert all(np.array_equal(plain.images[name], turned.images[name]) for name in plain.images)
    assert np.array_equal(plain.labels, turned.labels)
    # Everything turned in the header alone is a mirrored patient, which no file can tell from another one.
    for what, array in arrays.items():
        write_image(tmp_path / "raw" / "p" / f"p_{what}.nii.gz", array, direction=LEFT_TO_RIGHT, origin=FAR_END)
    mirrored = load_case(find_cohort(tmp_path / "raw", BRATS).cases[0], BRATS)
    assert np.array_equal(mirrored.labels, plain.labels[::-1])


def test_the_odd_one_out_is_named_even_if_it_comes_first(tmp_path: Path, write_case: Write, write_image: Write) -> None:
    arrays = write_case(tmp_path / "p", "p")
    write_image(tmp_path / "p" / "p_t1.nii.gz", arrays["t1"], origin=(0.0, 0.0, 5.0))
    with pytest.raises(BadCaseError) as report:
        load_case(find_cohort(tmp_path, BRATS).cases[0], BRATS)
    (problem,) = report.value.problems
    assert problem.file.endswith("p_t1.nii.gz")
    assert problem.what == "lies on another grid than p_t1ce.nii.gz: it is shifted by 5.0 mm"


def test_labels_that_are_whole_numbers_in_floating_point_are_fine(
    tmp_path: Path, write_case: Write, write_image: Write
) -> None:
    arrays = write_case(tmp_path / "p", "p")
    write_image(tmp_path / "p" / "p_seg.nii.gz", arrays["seg"].astype(np.float32))
    loaded = load_case(find_cohort(tmp_path, BRATS).cases[0], BRATS)
    assert np.array_equal(loaded.labels[::-1, ::-1], np.where(arrays["seg"] == 4, 3, arrays["seg"]))
    almost = arrays["seg"].astype(np.float32)
    almost[6, 7, 6] += 1e-3
    write_image(tmp_path / "p" / "p_seg.nii.gz", almost)
    with pytest.raises(BadCaseError, match="not whole numbers"):
        load_case(find_cohort(tmp_path, BRATS).cases[0], BRATS)


def test_a_damaged_checksum_is_found(tmp_path: Path, write_case: Write) -> None:
    write_case(tmp_path / "p", "p")
    path = tmp_path / "p" / "p_t1.nii.gz"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # CRC-32 of the gzip trailer
    path.write_bytes(content)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(path.read_bytes())
    with pytest.raises(BadCaseError, match=r"p_t1\.nii\.gz cannot be read"):
        load_case(find_cohort(tmp_path, BRATS).cases[0], BRATS)


def test_msd_defects_are_named_too(tmp_path: Path, write_image: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """One volume of a 4-D file is not there; another case has no label map; a third one has a bad name."""
    rng = np.random.default_rng(0)
    (tmp_path / "imagesTr").mkdir()
    for name, volumes in (("BRATS_001", 3), ("BRATS_002", 4), ("BRATS 3", 4)):
        array = rng.integers(1, 99, (4, 5, 6)).astype(np.float32)
        write_4d(tmp_path / "imagesTr" / f"{name}.nii.gz", array, volumes)
    write_image(tmp_path / "labelsTr" / "BRATS_001.nii.gz", np.eye(5, dtype=np.uint8)[:4, :, None].repeat(6, 2))
    document = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    assert main(["brats", "--root", str(tmp_path), "--output", str(tmp_path / "store"), *ONE]) == 2
    err = capsys.readouterr().err
    assert "BRATS_001.nii.gz (channel 3) does not have this channel (its size is 4 x 5 x 6 x 3). Compare it" in err
    assert f"BRATS_002: it has no label map. Add {tmp_path}/labelsTr/BRATS_002.nii.gz" in err
    assert "'BRATS 3': it has a name with other signs" in err
    assert "3 problems in 3 cases" in err


def test_manifest_defects_are_named_too(tmp_path: Path, write_case: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write_case(tmp_path, "x")
    rows = [
        "case,t1,flair,labels", "gone,nowhere.nii.gz,x_flair.nii.gz,x_seg.nii.gz", "bare,x_t1.nii.gz,,",
        "twice,x_t1.nii.gz,,x_seg.nii.gz", "twice,x_t1.nii.gz,,x_seg.nii.gz", "fine,x_t1.nii.gz,,x_seg.nii.gz",
    ]  # fmt: skip
    (tmp_path / "cases.csv").write_text("\n".join(rows), encoding="utf-8")
    command = ["cases", "--manifest", str(tmp_path / "cases.csv"), "--dataset", "brats", "--output"]
    assert main([*command, str(tmp_path / "store"), *ONE]) == 2
    err = capsys.readouterr().err
    assert f"gone: {tmp_path}/nowhere.nii.gz does not exist. Correct the path" in err
    assert "bare: it has no label map. Add a path in the column 'labels'" in err
    assert "twice: " in err
    assert "more than once: t1, labels" in err
    assert "3 problems in 3 cases" in err
    assert "1 case ready" in err


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    write_case(tmp_path / "raw" / "p", "p")
    monkeypatch.setattr(preparing, "sha256_file", refuse)  # tests may run as root, who may read everything
    with pytest.raises(
        BadCohortError, match=r"p_t1.nii.gz cannot be read \(Permission denied\). Check its permissions"
    ):
        prepare_store(find_cohort(tmp_path / "raw", BRATS), tmp_path / "store", processes=1)
