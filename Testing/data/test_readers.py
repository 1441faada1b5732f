"""Every public layout is understood, and a folder full of defects is described in one go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.data.case_manifest import read_case_manifest
from DMAFTraining.data.datasets import BRATS, MYOPS, MYOPS_PARTS
from DMAFTraining.data.opening import find_raw
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.problems import BadCaseError, BadCohortError
from DMAFTraining.data.readers import RawCohort, find_cohort, recognize
from DMAFTraining.data.volumes import load_case

Write = Callable[..., Any]

BRATS_2023 = {"t1": "t1n", "t1ce": "t1c", "flair": "t2f", "t2": "t2w"}


def summary(cohort: RawCohort) -> dict[str, tuple[str, ...]]:
    assert cohort.problems == ()
    assert all(case.labels for case in cohort.cases)
    return {case.name: tuple(case.images) for case in cohort.cases}


@pytest.mark.parametrize(
    ("folder", "name", "separator", "suffix", "spelling"),
    [
        ("HGG/Brats18_2013_2_1", "Brats18_2013_2_1", "_", ".nii.gz", {}),
        ("BraTS20_Training_001", "BraTS20_Training_001", "_", ".nii", {}),
        ("BraTS2021_00000", "BraTS2021_00000", "_", ".nii.gz", {"t1ce": "t1gd"}),
        ("BraTS-GLI-00000-000", "BraTS-GLI-00000-000", "-", ".nii.gz", BRATS_2023),
        (".", "case7", "_", ".NII.GZ", {"t1": "T1", "seg": "SEG"}),
    ],
)
def test_brats_layouts(
    tmp_path: Path, write_case: Write, folder: str, name: str, separator: str, suffix: str, spelling: dict[str, str]
) -> None:
    arrays = write_case(tmp_path / folder, name, separator=separator, suffix=suffix.lower(), spelling=spelling)
    for path in list((tmp_path / folder).glob("*.nii*")):
        path.rename(path.with_name(path.name.replace(suffix.lower(), suffix)))
    cohort = recognize(tmp_path)
    assert summary(cohort) == {name: ("t1", "t1ce", "flair", "t2")}
    loaded = load_case(cohort.cases[0], BRATS)
    # Files lie along L, P, S and the case along R, A, S.
    assert np.array_equal(loaded.images["flair"], arrays["flair"][::-1, ::-1])
    assert np.array_equal(loaded.labels, np.where(arrays["seg"] == 4, 3, arrays["seg"])[::-1, ::-1])


def test_a_stray_label_name_in_a_cases_own_folder(tmp_path: Path, write_case: Write) -> None:
    """One distribution of BraTS 2020 has W39_1998.09.19_Segm.nii as the labels of case 355."""
    write_case(tmp_path / "BraTS20_Training_355", "BraTS20_Training_355", suffix=".nii")
    folder = tmp_path / "BraTS20_Training_355"
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert list(summary(recognize(tmp_path))) == ["BraTS20_Training_355"]


def test_missing_sequences_hidden_files_and_links(tmp_path: Path, write_case: Write) -> None:
    write_case(tmp_path / "elsewhere" / "p2", "p2", ("flair",))
    write_case(tmp_path / "root" / "p1", "p1", ("t1", "t2"))
    (tmp_path / "root" / "p1" / "._p1_t1.nii.gz").write_bytes(b"junk a Mac left")
    (tmp_path / "root" / "p2").symlink_to(tmp_path / "elsewhere" / "p2")
    (tmp_path / "root" / "again").symlink_to(tmp_path / "elsewhere" / "p2")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "cohort.json").write_text("[]", encoding="utf-8")
    cohort = recognize(tmp_path / "root")
    assert summary(cohort) == {"p1": ("t1", "t2"), "p2": ("flair",)}
    assert cohort.simulated


def test_msd_task01(tmp_path: Path, write_image: Write) -> None:
    channels = [np.random.default_rng(n).integers(1, 99, (4, 5, 6)).astype(np.float32) for n in range(4)]
    (tmp_path / "imagesTr").mkdir()
    images = [sitk.GetImageFromArray(channel.transpose(2, 1, 0)) for channel in channels]
    sitk.WriteImage(sitk.JoinSeries(images), str(tmp_path / "imagesTr" / "BRATS_001.nii.gz"))
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, 0, :3] = 1, 2, 3  # edema, non-enhancing, enhancing
    write_image(tmp_path / "labelsTr" / "BRATS_001.nii.gz", labels)
    document = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    cohort = recognize(tmp_path)
    assert summary(cohort) == {"BRATS_001": ("t1", "t1ce", "flair", "t2")}
    loaded = load_case(cohort.cases[0], BRATS)
    for name, channel in zip(("flair", "t1", "t1ce", "t2"), channels, strict=True):
        assert np.array_equal(loaded.images[name], channel[::-1, ::-1]), name
    assert loaded.labels[-1, -1, :4].tolist() == [2, 1, 3, 0]
    document["labels"]["1"] = "liver"
    (tmp_path / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match="another task than MSD Task01"):
        find_cohort(tmp_path, BRATS)


def test_myops(tmp_path: Path, write_image: Write) -> None:
    labels = np.zeros((5, 6, 3), np.int16)
    labels[0, :, 1] = 0, 200, 500, 600, 1220, 2221
    for token in ("C0", "DE", "T2"):
        image = np.random.default_rng(1).integers(1, 99, (5, 6, 3)).astype(np.int16)
        write_image(tmp_path / "train25" / f"myops_training_101_{token}.nii.gz", image)
    write_image(tmp_path / "train25_myops_gd" / "myops_training_101_gd.nii.gz", labels)
    cohort = recognize(tmp_path)
    assert cohort.spec is MYOPS
    assert summary(cohort) == {"myops_training_101": ("bssfp", "lge", "t2")}
    assert load_case(cohort.cases[0], MYOPS).labels[0, :, 1].tolist() == [0, 3, 1, 2, 3, 3]
    parts = find_cohort(tmp_path, MYOPS_PARTS).cases[0]
    assert load_case(parts, MYOPS_PARTS).labels[0, :, 1].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_case_manifest(tmp_path: Path, write_case: Write, suffix: str) -> None:
    write_case(tmp_path / "x", "p1")
    rows = [
        {"case": "one", "T1Gd": "x/p1_t1ce.nii.gz", "t2w": "", "seg": "x/p1_seg.nii.gz"},
        {"case": "two", "T1Gd": "", "t2w": "x/p1_t2.nii.gz", "seg": "x/p1_seg.nii.gz"},
    ]
    path = tmp_path / f"cases{suffix}"
    if suffix == ".json":
        path.write_text(
            json.dumps([{key: value or None for key, value in row.items()} for row in rows]), encoding="utf-8"
        )
    else:
        path.write_text(
            "\n".join(",".join(row) for row in [list(rows[0]), *(row.values() for row in rows)]), encoding="utf-8"
        )
    cohort = find_raw(path)
    assert cohort.spec is BRATS
    assert summary(cohort) == {"one": ("t1ce",), "two": ("t2",)}
    assert load_case(cohort.cases[1], BRATS).images["t2"].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,dwi,labels\na,x.nii,y.nii\n", "unknown column 'dwi'"),
        ("t1,labels\nx.nii,y.nii\n", "no name in the column 'case'"),
        ("case,t1\na,b,c\n", "more cells than"),
        ("case,t1\n", "lists no case"),
    ],
)
def test_a_wrong_case_manifest_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_case_manifest(path, BRATS)


def test_a_case_name_cannot_leave_the_store(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("case,t1,labels\n../evil,x.nii,y.nii\n", encoding="utf-8")
    cohort = read_case_manifest(path, BRATS)
    assert cohort.cases == ()
    assert cohort.problems[0].case == "'../evil'"
    with pytest.raises(BadCohortError):
        prepare_store(cohort, tmp_path / "store" / "deep", processes=1)
    assert not (tmp_path / "store" / "evil").exists()


def test_nothing_usable_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a store nor a folder of cases"):
        recognize(tmp_path)
    with pytest.raises(ValueError, match="There is no folder"):
        find_cohort(tmp_path / "none", BRATS)
    with pytest.raises(ValueError, match=r"expected files like <case>_t1\.nii\.gz"):
        find_cohort(tmp_path, BRATS)


def test_storage_order_of_axes_does_not_matter(tmp_path: Path, write_case: Write, write_image: Write) -> None:
    """The same volume stored along R instead of L, with its true position, is on the same grid."""
    arrays = write_case(tmp_path / "p", "p")
    turned = (-1, 0, 0, 0, 1, 0, 0, 0, 1)
    write_image(tmp_path / "p" / "p_t2.nii.gz", arrays["t2"][::-1], direction=turned, origin=(13.0, 0.0, 0.0))
    loaded = load_case(find_cohort(tmp_path, BRATS).cases[0], BRATS)
    assert np.array_equal(loaded.images["t2"], arrays["t2"][::-1, ::-1])


def test_brats_2024_labels_are_not_mistaken(tmp_path: Path, write_case: Write, write_image: Write) -> None:
    """After treatment 3 is enhancing tumor and 4 the cavity: both in one file fit neither coding."""
    arrays = write_case(tmp_path / "p", "p")
    arrays["seg"][4, 5, 4] = 3
    write_image(tmp_path / "p" / "p_seg.nii.gz", arrays["seg"])
    with pytest.raises(BadCaseError, match="label values 0, 1, 2, 3, 4; expected"):
        load_case(find_cohort(tmp_path, BRATS).cases[0], BRATS)
