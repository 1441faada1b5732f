"""The commands of prepare, as a person types them; and the settings a run takes from YAML."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonargparse import ArgumentParser

from DMAFTraining.data.augmentation import NoAugmentation, PaperAugmentation, StandardAugmentation
from DMAFTraining.data.config import DataConfig
from DMAFTraining.data.index import Preparation
from DMAFTraining.data.store import PatchStore
from DMAFTraining.prepare import main

Write = Callable[..., Any]

ONE = ["--processes", "1"]


def test_brats_then_missing(tmp_path: Path, write_case: Write, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (2, 3, 5, 16, 301):  # 5 validates and 16 tests in the published split
        name = f"BraTS20_Training_{number:03d}"
        write_case(tmp_path / "raw" / name, name, seed=number)
    store = tmp_path / "store"
    assert main(["brats", "--root", str(tmp_path / "raw"), "--output", str(store), *ONE]) == 0
    out = capsys.readouterr().out
    assert "5 cases in" in out
    assert "T1 5, T1ce 5, FLAIR 5, T2 5" in out
    assert "Voxels 1 x 1 x 1 mm" in out
    assert PatchStore.open(store).index.preparation == Preparation()
    table = tmp_path / "m.csv"
    command = ["missing", "--store", str(store), "--output", str(table), "--split", "published"]
    assert main([*command, "--rates", ".2", ".4", ".6", ".8"]) == 0
    assert "3 patients" in capsys.readouterr().out
    rows = list(csv.reader(table.open(encoding="utf-8")))
    assert rows[0] == ["name", "t1", "t1ce", "flair", "t2"]
    assert [row[0][-3:] for row in rows[1:]] == ["002", "003", "301"]
    assert main([*command, "--rates", ".2", ".4"]) == 2
    assert "this store needs 4: T1, T1ce, FLAIR, T2" in capsys.readouterr().err


def test_myops_merged_or_not(tmp_path: Path, write_case: Write) -> None:
    spelling = {"bssfp": "C0", "lge": "DE", "t2": "T2", "seg": "gd"}
    name = "myops_training_101"
    arrays = write_case(tmp_path / "raw", name, ("bssfp", "lge", "t2"), spelling=spelling)
    assert arrays["seg"].max() == 4
    command = ["myops", "--root", str(tmp_path / "raw"), *ONE]
    assert main([*command, "--output", str(tmp_path / "bad")]) == 2  # labels 1, 2, 4 are no MyoPS labels
    import SimpleITK as sitk

    path = str(tmp_path / "raw" / f"{name}_gd.nii.gz")
    image = sitk.ReadImage(path)
    sitk.WriteImage(sitk.Cast(image, sitk.sitkInt16) * 0 + sitk.Cast(image == 2, sitk.sitkInt16) * 1220, path)
    for merge, wanted in (("training", 3), ("evaluation", 4)):
        output = tmp_path / merge
        assert main([*command, "--output", str(output), "--merge", merge]) == 0
        store = PatchStore.open(output)
        assert len(store) == 12
        assert store.read_case(5)[1].max() == wanted


def test_cases_from_a_manifest_with_published_intensities(tmp_path: Path, write_case: Write) -> None:
    write_case(tmp_path, "x")
    (tmp_path / "cases.csv").write_text("case,flair,labels\nq,x_flair.nii.gz,x_seg.nii.gz\n", encoding="utf-8")
    command = ["cases", "--manifest", str(tmp_path / "cases.csv"), "--dataset", "brats", "--output"]
    options = ["--normalization", "zscore-shared", "--background", "shifted", *ONE]
    assert main([*command, str(tmp_path / "store"), *options]) == 0
    store = PatchStore.open(tmp_path / "store")
    assert store.index.preparation == Preparation("zscore-shared", "shifted")
    assert store.cases[0].available == ("flair",)
    background = store.cases[0].background[0]
    assert background < -1
    assert background == float(np.float16(background))  # what padding and augmentation compare voxels with


def test_simulated_cohorts_are_marked(tmp_path: Path, write_case: Write) -> None:
    write_case(tmp_path / "raw" / "simulated-1-00000", "simulated-1-00000")
    (tmp_path / "raw" / "cohort.json").write_text("[]", encoding="utf-8")
    assert main(["brats", "--root", str(tmp_path / "raw"), "--output", str(tmp_path / "store"), *ONE]) == 0
    assert PatchStore.open(tmp_path / "store").simulated


def test_problems_end_with_2_and_a_sentence(
    tmp_path: Path, write_case: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "raw" / "p", "p")
    (tmp_path / "raw" / "p" / "p_seg.nii.gz").unlink()
    write_case(tmp_path / "raw" / "q", "q")
    (tmp_path / "raw" / "q" / "q_t1.nii.gz").write_bytes(b"no image")
    assert main(["brats", "--root", str(tmp_path / "raw"), "--output", str(tmp_path / "store"), *ONE]) == 2
    err = capsys.readouterr().err
    assert "error: 2 problems in 2 cases:" in err
    assert "p: it has no label map" in err
    assert "q_t1.nii.gz cannot be read as an image" in err
    assert main(["brats", "--root", str(tmp_path / "none"), "--output", str(tmp_path / "s"), *ONE]) == 2
    assert "There is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["simulate", "brats", "myops", "cases", "missing"])
def test_help_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert f"python -m DMAFTraining.prepare {command} " in out
    assert "Research use only" in out


@pytest.mark.parametrize(
    ("lines", "augmentation"),
    [
        ("", StandardAugmentation()),
        ("augmentation: PaperAugmentation", PaperAugmentation()),
        ("augmentation: {class_path: PaperAugmentation, init_args: {slice_jitter: true}}", PaperAugmentation(True)),
        (
            "augmentation: {class_path: PaperAugmentation, init_args: {turn_fill: minus-one}}",
            PaperAugmentation(turn_fill="minus-one"),
        ),
        ("augmentation: NoAugmentation", NoAugmentation()),
        ("augmentation: {mirror_axes: [0, 1], zoom: [0.9, 1.1]}", StandardAugmentation((0, 1), zoom=(0.9, 1.1))),
    ],
)
def test_settings_come_from_yaml(tmp_path: Path, lines: str, augmentation: object) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(
        f"root: cases\nsetting: idt\nmissing_rates: [0.2, 0.4, 0.6, 0.8]\npatch: [64, 64, 64]\n{lines}\n",
        encoding="utf-8",
    )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataConfig, "data")
    config = parser.instantiate(parser.parse_args([f"--data={path}"])).data
    assert config == DataConfig(
        Path("cases"), missing_rates=(0.2, 0.4, 0.6, 0.8), patch=(64, 64, 64), augmentation=augmentation
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"missing_rates": (0.5, 1.0)}, r"should lie in \[0, 1\)"),
        ({"setting": "rates"}, "needs missing_rates"),
        ({"setting": "pdt", "missing_rates": (0.5,)}, "nothing is missing in training"),
        ({"manifest": Path("m.csv"), "missing_rates": (0.5,)}, "in place of missing_rates"),
        ({"patch": (8,)}, "two or three sizes"),
        ({"patch": (8, 0, 8)}, "two or three sizes"),
        ({"foreground_share": 1.5}, "foreground_share"),
        ({"workers": -1}, "0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(Path("cases"), **changes)
