"""The comparison page and figure: made from real results, read back with an HTML parser and pixel by pixel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from DMAFTraining.evaluation.content import Case, load_content
from DMAFTraining.evaluation.overlays import ONLY_A, ONLY_B, count_colors
from DMAFTraining.evaluation.page import comparison_page
from DMAFTraining.evaluation.pictures import draw_pictures
from DMAFTraining.evaluation.report import write_report
from DMAFTraining.inference.comparison import region_dice
from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.job import Job
from DMAFTraining.inference.metadata import Label, Region
from DMAFTraining.inference.runner import run_job
from DMAFTraining.modalities import BRATS, MYOPS
from page_rig import (  # noqa: F401 - fixtures
    GRID,
    Page,
    block,
    images_fixture,
    known_content,
    stored_results,
    write,
)
from tiny import head_grid, head_volume, tiny_metadata, write_tiny_bundle


class Nothing:
    """An event sink that does not listen."""

    def emit(self, event: str, **fields: object) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory, images: dict[str, Path]) -> tuple[Path, Case]:
    """A report with all maps on a random model's segmentation of a ball from all 15 subsets, with truth."""
    folder = tmp_path_factory.mktemp("report")
    bundle = write_tiny_bundle(folder / "tiny.safetensors")
    case = Case(
        {name: images[name] for name in BRATS.names},
        write(folder / "truth.nii.gz", block(20, 30)),
        simulated=True,
        background="flair",
    )
    job = Job(bundle, dict(case.images), folder / "results", "all", maps=("entropy", "contribution"))
    run_job(job, Nothing(), lambda: False)
    write_report(load_content(folder / "results", tiny_metadata(), case), folder)
    return folder, case


@pytest.fixture(scope="module")
def page(segmented: tuple[Path, Case]) -> Page:
    return Page((segmented[0] / "comparison.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(page: Page) -> None:
    lower = page.text.lower()
    for forbidden in ("http://", "https://", "<link", "<iframe", "@import", "url(", "javascript:", "fetch(", "import("):
        assert forbidden not in lower
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    sources = [attributes.get("src") or attributes.get("href") for _, attributes in page.tags]
    assert all(source.startswith("data:image/png;base64,") for source in sources if source)
    # Sequences and truth; results in three orientations; bars; agreement, entropy and contribution with their scales.
    fixed = 4 + 1 + 3 * 15 + 1 + (3 + 1) + (1 + 1) + (4 + 1)
    differing = page.text.count('alt="Difference of ')
    assert 1 <= differing <= 4 * 3
    assert len(page.pictures()) == fixed + differing


def test_one_cell_per_subset_with_the_numbers_of_the_results(page: Page, segmented: tuple[Path, Case]) -> None:
    listed = json.loads((segmented[0] / "results" / "provenance.json").read_text(encoding="utf-8"))["results"]
    assert len(page.results) == 15
    sizes = []
    for texts in page.results:
        title = next(text for text in texts if text in listed)
        sizes.append(title.count("+") + 1)
        assert f"{sizes[-1]} of 4 sequences" in texts
        expected = [
            part
            for name, volume in listed[title]["volumes_ml"].items()
            for part in (name, f"{volume:.1f}", f"{listed[title]['dice_to_fullest'][name]:.2f}")
        ]
        assert texts[-9:] == expected
    assert sizes == [4] + 4 * [3] + 6 * [2] + 4 * [1]
    assert len({texts[2] for texts in page.results}) == 15


def test_the_table_holds_volumes_and_both_dice(page: Page, segmented: tuple[Path, Case]) -> None:
    folder, _ = segmented
    listed = json.loads((folder / "results" / "provenance.json").read_text(encoding="utf-8"))["results"]
    volumes, overlap = page.tables["Table of volumes"], page.tables["Table of overlap and distance"]
    fullest = "T1+T1ce+FLAIR+T2"
    assert volumes[0] == ["Sequences", "Volume (mL)", f"Change to {fullest} (mL)", "Change (%)"]
    assert overlap[0][1:] == [f"Dice to {fullest}", f"HD95 to {fullest} (mm)", "Dice to truth", "HD95 to truth (mm)"]
    assert volumes[1] == 3 * ["WT", "TC", "ET"]
    truth, regions = block(20, 30), tiny_metadata().regions
    assert sorted(line[0] for line in volumes[2:-1]) == sorted(listed)
    base = listed[fullest]["volumes_ml"]
    for title, *numbers in volumes[2:-1]:
        own = listed[title]["volumes_ml"]
        assert numbers[:3] == [f"{value:.1f}" for value in own.values()]
        assert numbers[3:6] == [f"{own[name] - base[name]:+.1f}" for name in own]
    for title, *numbers in overlap[2:-1]:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "results" / listed[title]["file"])))
        to_truth = region_dice(labels.transpose(2, 1, 0), truth, regions)
        assert numbers[:3] == [f"{value:.2f}" for value in listed[title]["dice_to_fullest"].values()]
        assert numbers[6:9] == [f"{value:.2f}" for value in to_truth.values()]
    # 9 x 10 x 6 voxels of 27 mm3; a third of them each edema, enhancing and necrotic.
    assert volumes[-1][:4] == ["Truth (simulated)", "14.6", "9.7", "4.9"]
    assert overlap[-1][0] == "Mean"


def test_the_page_says_what_it_is_and_how_to_read_it(page: Page) -> None:
    text = " ".join(page.said)
    assert "Research use only. Not a medical device." in text
    assert "Simulated case, model trained on simulated data." in text
    assert "the patient's left is on the right of the picture" in text
    assert "tiny 1.0" in text
    assert text.index("Research use only") < text.index("The patient")


def test_the_page_can_be_read_aloud(page: Page) -> None:
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert all(image["alt"] for image in images)
    assert len({image["alt"] for image in images}) == len(images)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert ("html", {"lang": "en"}) in page.tags
    headings = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1
    assert max(np.diff(headings)) == 1


def test_colors_lie_where_the_labels_are(tmp_path: Path, images: dict[str, Path]) -> None:
    content = known_content(tmp_path, images)
    full, less, nothing = draw_pictures(content).rows
    edema, enhancing, necrotic = ((92, 188, 96), (247, 200, 66), (226, 77, 66))

    def center(color: tuple[int, int, int], picture: np.ndarray) -> tuple[float, float]:
        rows, columns = np.nonzero((picture == color).all(axis=2))
        return rows.mean() / picture.shape[0], columns.mean() / picture.shape[1]

    # The block lies on the patient's left and in front; its labels run from left to right of the patient.
    row, left_most = center(edema, full)
    assert row < 0.45
    assert left_most > center(enhancing, full)[1] > center(necrotic, full)[1] > 0.5
    assert center(edema, less)[0] > row  # the part in front is missing
    assert not (nothing == edema).all(axis=2).any()


def test_the_figure_holds_every_picture_pixel_by_pixel(tmp_path: Path, images: dict[str, Path]) -> None:
    content = known_content(tmp_path, images, with_truth=True)
    write_report(content, tmp_path)
    figure = np.rint(255 * imread(tmp_path / "comparison.png")[..., :3]).astype(np.uint8)
    pictures = draw_pictures(content)
    assert pictures.truth is not None
    drawn = [*pictures.sequences.values(), pictures.truth, *pictures.rows]
    # The pictures stand in columns of equal width; each is found by where its first row lies.
    for picture in drawn:
        height, width = picture.shape[:2]
        middle = height // 2
        spots = [
            (row, column)
            for row in range(figure.shape[0] - height)
            for column in (64, 64 + width + 32, 64 + 2 * (width + 32))
            if (figure[row + middle, column : column + width] == picture[middle]).all()
        ]
        assert any(
            # The letters R and L stand in the lowest rows.
            (figure[row : row + height - 40, column : column + width] == picture[:-40]).all()
            for row, column in spots
        )


def test_the_figure_has_a_swatch_for_every_label(tmp_path: Path, images: dict[str, Path]) -> None:
    write_report(known_content(tmp_path, images), tmp_path)
    figure = np.rint(255 * imread(tmp_path / "comparison.png")[..., :3]).astype(np.uint8)
    for label in tiny_metadata().labels:
        solid = (figure == label.color).all(axis=2)
        rows, columns = np.nonzero(solid[:-20, :-20] & solid[20:, 20:] & solid[:-20, 20:] & solid[20:, :-20])
        assert any(solid[row : row + 20, column : column + 20].all() for row, column in zip(rows, columns, strict=True))


def test_the_background_is_the_wanted_sequence_or_the_first(segmented: tuple[Path, Case]) -> None:
    folder, case = segmented
    content = load_content(folder / "results", tiny_metadata(), case)
    chosen = {row.title: content.background(row.subset) for row in content.rows}
    assert chosen["T1+T1ce+FLAIR+T2"] == chosen["FLAIR+T2"] == "flair"
    assert (chosen["T1ce+T2"], chosen["T2"]) == ("t1ce", "t2")


def test_other_sequences_labels_and_regions_without_truth(tmp_path: Path, images: dict[str, Path]) -> None:
    metadata = replace(
        tiny_metadata(),
        name="heart <b>& more",
        modalities=MYOPS,
        labels=(Label(1, "Scar", (10, 200, 200)), Label(2, "Edema", (200, 10, 200))),
        regions=(Region("Any", "Any injury", (1, 2)),),
        simulated_training=False,
    )
    subsets = sorted(MYOPS.subsets(), key=len, reverse=True)
    labels = np.minimum(block(20, 30), 2)
    results = stored_results(tmp_path / "heart", metadata, [(list(s.names), labels) for s in subsets])
    content = load_content(results, metadata, Case({name: images[name] for name in MYOPS.names}))
    page = Page(comparison_page(content, draw_pictures(content)))
    assert [next(t for t in texts if t not in "RL") for texts in page.results] == [str(s) for s in subsets]
    overlap = page.tables["Table of overlap and distance"]
    assert overlap[0] == ["Sequences", "Dice to bSSFP+LGE+T2", "HD95 to bSSFP+LGE+T2 (mm)"]
    assert overlap[1] == ["Any", "Any"]
    text = " ".join(page.said)
    assert "heart <b>& more 1.0" in text
    assert "imulated" not in text
    assert "truth" not in text.lower()
    write_report(content, tmp_path)
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_images_on_another_grid_are_placed_by_their_position(tmp_path: Path, images: dict[str, Path]) -> None:
    content = known_content(tmp_path, images)
    coarse = head_grid((30, 33, 27), 4.0)
    moved = write(tmp_path / "t2-coarse.nii.gz", head_volume(coarse, BRATS.index("t2")).array, coarse)
    case = Case({"t1": images["t1"], "t2": moved})
    other = load_content(tmp_path / "known", tiny_metadata(), case)
    assert other.images["t2"].shape == GRID.size
    brain = content.images["t2"] > 0
    assert np.abs(other.images["t2"] - content.images["t2"])[brain].mean() < 0.2


def test_what_does_not_fit_is_said(tmp_path: Path, images: dict[str, Path]) -> None:
    known_content(tmp_path, images)
    with pytest.raises(InputError, match="The image of T2 was not given"):
        load_content(tmp_path / "known", tiny_metadata(), Case({"t1": images["t1"]}))
    with pytest.raises(InputError, match="was made by another model"):
        load_content(tmp_path / "known", replace(tiny_metadata(), modalities=MYOPS), Case(images))
    small = head_grid((20, 22, 18), 6.0)
    truth = write(tmp_path / "small.nii.gz", np.zeros(small.size, np.uint8), small)
    with pytest.raises(GeometryError, match="different grids"):
        load_content(tmp_path / "known", tiny_metadata(), Case(images, truth))


def test_numbers_by_hand_on_the_page(tmp_path: Path, images: dict[str, Path]) -> None:
    content = known_content(tmp_path, images)
    page = Page(comparison_page(content, draw_pictures(content)))
    volumes = {line[0]: line[1:] for line in page.tables["Table of volumes"]}
    # 9 x 10 x 6 voxels of 27 mm3 from both; T1 alone finds 6 of the 10 rows, T2 nothing.
    assert volumes["T1"][:3] == ["8.7", "5.8", "2.9"]
    assert (volumes["T1"][3], volumes["T1"][6]) == ("-5.8", "-40")
    assert volumes["T2"][6:] == ["-100", "-100", "-100"]
    overlap = {line[0]: line[1:] for line in page.tables["Table of overlap and distance"]}
    assert overlap["T1"][:3] == 3 * ["0.75"]  # 2 * 6 / 16
    # Of the surface of the whole block the farthest 5 % lie 4 voxels of 3 mm away.
    assert overlap["T1"][3] == "12.0"
    assert overlap["T2"][3:] == 3 * ["not found"]
    text = " ".join(page.said)
    assert "Without T2: the whole tumor would have been 5.8 mL (40 %) smaller, overlap (Dice) 0.75;" in text
    assert "Without T1: the whole tumor would not have been found (14.6 mL);" in text
    worth = {line[0]: line[1:3] for line in page.tables["Table of contributions"]}
    # From nothing T1 brings a Dice of 0.75 and to T2 1; T2 brings 0, or 0.25 to T1.
    assert worth["T1"] == ["+1.000", "+0.875"]
    assert worth["T2"] == ["+0.250", "+0.125"]
    found = {line[0]: line[1:3] for line in page.tables["Table of agreement"]}
    assert found["exactly 3"] == ["0.0", "0"]
    assert found["exactly 2"] == ["8.7", "60"]
    assert found["exactly 1"] == ["5.8", "40"]


def picture_of(page: Page, alt: str) -> np.ndarray:
    places = [attributes.get("alt") or "" for tag, attributes in page.tags if tag == "img"]
    return page.pictures()[next(place for place, text in enumerate(places) if text.startswith(alt))]


def test_agreement_and_differences_are_colored_where_they_are(tmp_path: Path, images: dict[str, Path]) -> None:
    content = known_content(tmp_path, images)
    page = Page(comparison_page(content, draw_pictures(content)))
    agreement = picture_of(page, "Agreement on whole tumor")
    once, twice, thrice = ((agreement == color).all(axis=2) for color in count_colors(3))
    assert once.sum() / twice.sum() == pytest.approx(4 / 6, rel=0.02)
    assert not thrice.any()
    assert np.nonzero(once)[0].mean() < np.nonzero(twice)[0].mean()  # what T1 misses lies in front
    for alt, color, other, share in (
        ("Difference of T1+T2 and T1 in whole tumor", ONLY_A, ONLY_B, 4 / 10),
        ("Difference of T1+T2 and T2 in whole tumor", ONLY_A, ONLY_B, 1),
    ):
        picture = picture_of(page, alt)
        shown = (picture == color).all(axis=2).sum() / (picture.shape[0] * picture.shape[1])
        whole = (once | twice).sum() / once.size
        assert shown / whole == pytest.approx(share, rel=0.1)
        assert not (picture == other).all(axis=2).any()
    assert [line[1:3] for line in page.tables["Places where T1+T2 and T1 differ"][2:]] == [
        ["A, T1+T2", "5.83"],
        ["A, T1+T2", "3.89"],
        ["A, T1+T2", "1.94"],
    ]


def test_maps_are_shown_with_what_they_do_not_mean(page: Page) -> None:
    text = " ".join(page.said)
    assert "weights are not causes" in text
    assert "a model can be sure and wrong" in text
    assert "That all agree does not make it right" in text
    shares = [[float(cell) for cell in line[1:]] for line in page.tables["Table of mean shares"][2:] if "–" not in line]
    assert sum(line[0] for line in shares) == pytest.approx(1, abs=0.003)
    entropy = picture_of(page, "Entropy from T1+T1ce+FLAIR+T2")
    assert (entropy != entropy[..., :1]).any()


def test_without_images_the_ground_is_black(tmp_path: Path, images: dict[str, Path]) -> None:
    known_content(tmp_path, images)
    content = load_content(tmp_path / "known", tiny_metadata(), Case({}))
    pictures = draw_pictures(content)
    colored = pictures.rows[0].any(axis=2)
    rows, columns = (np.flatnonzero(colored.any(axis=axis)) for axis in (1, 0))
    assert colored[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.97  # but for the corners
    assert not pictures.rows[2].any()
    page = Page(comparison_page(content, pictures))
    assert " over " not in next(a["alt"] or "" for tag, a in page.tags if tag == "img")


def test_the_page_that_misses_combinations_says_so(tmp_path: Path, images: dict[str, Path]) -> None:
    metadata = tiny_metadata()
    folder = stored_results(tmp_path / "few", metadata, [(["t1", "t2"], block(26, 36)), (["t1"], block(26, 32))])
    page = Page(comparison_page(content := load_content(folder, metadata, Case({})), draw_pictures(content)))
    assert "1 of them were not segmented" in " ".join(page.said)
    worth = {line[0]: line[1:3] for line in page.tables["Table of contributions"]}
    assert (worth["T1"], worth["T2"]) == (["–", "–"], ["+0.250", "–"])
    alone = stored_results(tmp_path / "one", metadata, [(["t1"], block(26, 36))])
    page = Page(comparison_page(content := load_content(alone, metadata, Case({})), draw_pictures(content)))
    assert "Table of agreement" not in page.tables
