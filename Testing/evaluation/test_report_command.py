"""The report command: one patient, many patients, and sentences about what does not fit."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.inference.comparison import region_dice, region_volumes
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.inference.metadata import sha256_file
from DMAFTraining.report import main
from tiny import head_grid, head_volume, tiny_metadata, write_tiny_bundle

GRID = head_grid((20, 22, 18), 6.0)
METADATA = tiny_metadata()


class Texts(HTMLParser):
    """Links, and the cells of every line of every table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.lines: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.lines[-1][-1] += data


def rod(length: int) -> np.ndarray:
    """Edema in a row of voxels of 0.216 mL."""
    labels = np.zeros(GRID.size, np.uint8)
    labels[5 : 5 + length, 11, 9] = 2
    return labels


def write(path: Path, array: np.ndarray, grid: Grid = GRID) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(to_image(array, grid), str(path))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("m") / "tiny.safetensors")


def make_case(place: Path, name: str, bundle: Path, lengths: tuple[int, int, int]) -> Path:
    """Results of T1+T2, T1 and T2, rods of these lengths; the images lie in ``place/images/name``."""
    folder = place / "results" / name
    inputs, listed = {}, {}
    for seed, sequence in enumerate(("t1", "t2")):
        image = write(place / "images" / name / f"{sequence}.nii.gz", head_volume(GRID, seed).array)
        inputs[sequence] = {"file": image.name, "sha256": sha256_file(image)}
    for names, length in zip((["t1", "t2"], ["t1"], ["t2"]), lengths, strict=True):
        title = str(METADATA.modalities.subset(names))
        listed[title] = {
            "subset": names,
            "file": write(folder / f"labels_{title}.nii.gz", rod(length)).name,
            "volumes_ml": region_volumes(rod(length), METADATA.regions, GRID.voxel_ml),
            "dice_to_fullest": region_dice(rod(length), rod(lengths[0]), METADATA.regions),
        }
    document = {
        "model": {"name": METADATA.name, "version": METADATA.version, "sha256": sha256_file(bundle)},
        "labels": {str(label.value): label.name for label in METADATA.labels},
        "regions": [{"name": r.name, "title": r.title, "labels": list(r.labels)} for r in METADATA.regions],
        "inputs": inputs,
        "results": listed,
        "warnings": ["T1 is <odd>."],
    }
    (folder / "provenance.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_one_patient_with_images_truth_and_pdf(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_case(tmp_path, "anna", bundle, (10, 5, 8))
    truth = write(tmp_path / "truth.nii.gz", rod(5))
    page, pdf = tmp_path / "report.html", tmp_path / "figures.pdf"
    images = tmp_path / "images" / "anna"
    arguments = [folder, "--bundle", bundle, "--output", page, "--images", images, "--truth", truth, "--pdf", pdf]
    assert main([*map(str, arguments), "--simulated", "--background", "T2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    text = page.read_text(encoding="utf-8")
    assert "Truth (simulated)" in text
    assert "Simulated case, model trained on simulated data." in text
    assert "Segmentation from T1+T2 over T2" in text
    assert "Segmentation from T1 over T1" in text
    assert "T1 is &lt;odd&gt;." in text
    assert sha256_file(bundle) in text
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.read_bytes().count(b"/Type /Page ") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures.pdf", "images", "report.html", "results", "truth.nii.gz",
    ]  # fmt: skip


def test_another_base_and_a_pair(tmp_path: Path, bundle: Path) -> None:
    folder = make_case(tmp_path, "anna", bundle, (10, 5, 8))
    page = tmp_path / "report.html"
    arguments = [str(folder), "--bundle", str(bundle), "--output", str(page)]
    assert main([*arguments, "--reference-subset", "t2", "--pair", "T1", "T2"]) == 0
    lines = Texts(page.read_text(encoding="utf-8")).lines
    assert ["Sequences", "Volume (mL)", "Change to T2 (mL)", "Change (%)"] in lines
    assert ["T1+T2", "2.2", "0.0", "0.0", "+0.4", "+0.0", "+0.0", "+25", "–", "–"] in lines
    assert ["Whole tumor", "B, T2", "0.65", "9.0 R, 3.0 A, 3.0 S"] in lines


def test_a_cohort_gets_an_index_and_a_page_each(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_case(tmp_path, "anna", bundle, (10, 5, 8))
    make_case(tmp_path, "bert", bundle, (4, 4, 1))
    pages = tmp_path / "pages"
    arguments = [str(tmp_path / "results"), "--bundle", str(bundle), "--output", str(pages)]
    assert main([*arguments, "--images", str(tmp_path / "images" / "{case}")]) == 0
    assert sorted(path.name for path in pages.iterdir()) == ["anna.html", "bert.html", "index.html"]
    found = Texts((pages / "index.html").read_text(encoding="utf-8"))
    assert found.links == ["anna.html", "bert.html"]
    anna, bert = (next(line for line in found.lines if line[0] == name) for name in ("anna", "bert"))
    # Without T2 5 of 10 voxels, 2 * 5 / 15; in Bert without T1 1 of 4, 2 * 1 / 5.
    assert anna[:7] == ["anna", "T1+T2", "2.2", "0.0", "0.0", "0.67", "T2"]
    assert bert[:7] == ["bert", "T1+T2", "0.9", "0.0", "0.0", "0.40", "T1"]
    # Anna: T1 has 2/3 alone and adds 1/9 to T2's 8/9; Bert: 1 alone, and 3/5 to T2's 2/5.
    t1 = (2 / 3 + 1 / 9) / 2 / 2 + (1 + 3 / 5) / 2 / 2
    assert ["T1", f"{t1:+.3f}", "2"] in found.lines
    assert ["T2", f"{1 - t1:+.3f}", "2"] in found.lines
    # A patient that cannot be shown is named; the others are.
    (tmp_path / "results" / "bert" / "labels_T1.nii.gz").unlink()
    assert main(arguments) == 1
    assert "bert: There is no label map at" in capsys.readouterr().err
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert Texts(index).links == ["anna.html"]
    assert "bert: There is no label map" in index


def test_what_does_not_fit_is_one_sentence(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_case(tmp_path, "anna", bundle, (10, 5, 8))
    page = tmp_path / "report.html"
    other_grid = head_grid((20, 22, 18), 5.0)
    truth = write(tmp_path / "truth.nii.gz", rod(5), other_grid)
    write(tmp_path / "wrong" / "t1.nii.gz", head_volume(GRID, 9).array)
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=1)
    (tmp_path / "empty").mkdir()
    base = ["--bundle", str(bundle), "--output", str(page)]
    cases = [
        ([str(tmp_path / "nowhere"), *base], "There is no folder"),
        ([str(tmp_path / "empty"), *base], "holds no finished results (no provenance.json), and no folder in it does"),
        ([str(folder), *base, "--truth", str(truth)], "lie on different grids"),
        ([str(folder), *base, "--truth", str(tmp_path / "no.nii")], "There is no label map at"),
        ([str(folder), *base, "--images", str(tmp_path / "empty")], "does not hold the image t1.nii.gz"),
        ([str(folder), *base, "--images", str(tmp_path / "wrong")], "is not the image that was segmented"),
        ([str(folder), *base, "--reference-subset", "DWI"], "'DWI' in 'DWI' is not a sequence"),
        ([str(folder), *base, "--reference-subset", "FLAIR"], "FLAIR was not segmented"),
        ([str(folder), *base, "--pair", "T1", "T1ce"], "T1ce was not segmented"),
        ([str(folder), "--bundle", str(other), "--output", str(page)], "were made with the model tiny 1.0"),
        ([str(folder), "--bundle", str(bundle), "--output", str(tmp_path / "no" / "r.html")], "cannot be written"),
        ([str(tmp_path / "results"), *base, "--pdf", "x.pdf"], "--pdf is for one patient"),
    ]
    for arguments, sentence in cases:
        assert main(arguments) == 2, sentence
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    write(folder / "labels_T2.nii.gz", rod(5), other_grid)
    assert main([str(folder), *base]) == 2
    assert "lie on different grids" in capsys.readouterr().err
    assert not page.exists()
