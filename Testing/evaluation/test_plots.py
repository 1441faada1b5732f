"""Figures: as many marks as there are data, at the right height, readable in print, for 3 and 4 sequences."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from DMAFTraining.data.brats import REGIONS
from DMAFTraining.evaluation.plots.balance import dice_alone, draw_balance, gap_lines
from DMAFTraining.evaluation.plots.panel import draw_panel, load_panel
from DMAFTraining.evaluation.plots.style import FORMATS, WIDTH, look, save
from DMAFTraining.evaluation.plots.subsets import draw_dots, draw_radar
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.statistics import Bootstrap
from DMAFTraining.evaluation.study import Study
from DMAFTraining.evaluation.study_reader import read_plan, read_study
from DMAFTraining.evaluation.tables.paper import main_methods
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.training.logs import read_metrics
from tiny_runs import write_log, write_plan, write_run

METHODS = ("none", "passion", "dmaf")
DATASETS = pytest.mark.parametrize("dataset", ["simulated-brain", "simulated-heart"])


def by_size(row: ScoreRow, setting: str, method: str, seed: int) -> ScoreRow:
    """Dice 0.1 per sequence, and 0.01 per case around the middle one."""
    return replace(row, dice=0.1 * (row.subset.count("+") + 1) + 0.01 * (int(row.case[-1]) - 1))


def make(folder: Path, dataset: str) -> Study:
    """Two of three methods have a run; PASSION logs its distances, the other nothing but scores."""
    write_plan(folder, dataset, ("pdt",), METHODS)
    write_run(folder, "pdt", "none", change=by_size)
    run = write_run(folder, "pdt", "passion", change=by_size)
    study = read_study(folder)
    titles = [modality.title for modality in study.dataset.modalities]
    write_log(run, titles, study.regions, gap="D")
    return study


def is_readable(figure: Figure) -> None:
    """Every text that is drawn has at least 8 points at the printed width; the head hides nothing."""
    FigureCanvasAgg(figure).draw()
    shown = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]
    assert shown
    assert min(text.get_fontsize() for text in shown) >= 8
    assert figure.get_figwidth() == WIDTH
    head = figure.get_suptitle()
    places = {text.get_text(): text.get_window_extent() for text in shown}
    assert head
    assert [text for text, place in places.items() if text != head and place.overlaps(places[head])] == []


@DATASETS
def test_dots_stand_at_the_means(tmp_path: Path, dataset: str) -> None:
    study = make(tmp_path, dataset)
    figure = draw_dots(study, Bootstrap(3, 200), "pdt", METHODS)
    *panels, presence = figure.axes
    means = [10.0 * len(subset) for subset in study.subsets]
    assert len(panels) == 3
    for axes in panels:
        assert [container.get_label() for container in axes.containers] == ["NONE", "PASSION"]
        for container in axes.containers:
            np.testing.assert_allclose(container.lines[0].get_ydata(), means, atol=1e-4)  # type: ignore[attr-defined]
            (bars,) = container.lines[2]  # type: ignore[attr-defined]
            low, high = np.array([path.vertices[:, 1] for path in bars.get_paths()]).T
            np.testing.assert_allclose((low + high) / 2, means, atol=0.5)
            np.testing.assert_allclose(high - low, 2.0, atol=0.1)  # three cases: from the smallest to the largest
    filled, hollow = (len(dots.get_offsets()) for dots in presence.collections)
    sequences = len(study.dataset.modalities)
    assert filled == sequences * 2 ** (sequences - 1)
    assert filled + hollow == sequences * len(study.subsets)
    is_readable(figure)


@DATASETS
def test_radar_has_a_closed_line_per_method(tmp_path: Path, dataset: str) -> None:
    study = make(tmp_path, dataset)
    figure = draw_radar(study, "pdt", METHODS)
    *webs, key = figure.axes
    means = [10.0 * len(subset) for subset in study.subsets]
    assert len(webs) == 3
    for axes in webs:
        assert [line.get_label() for line in axes.lines] == ["NONE", "PASSION"]
        for line in axes.lines:
            np.testing.assert_allclose(line.get_ydata(), [*means, means[0]], atol=1e-4)
        assert len(axes.get_xticks()) == len(study.subsets)
    (spokes,) = key.texts
    assert spokes.get_text().splitlines() == [f"{n}  {subset}" for n, subset in enumerate(study.subsets, 1)]
    is_readable(figure)


@DATASETS
def test_balance_shows_each_sequence_alone_and_its_gap(tmp_path: Path, dataset: str) -> None:
    study = make(tmp_path, dataset)
    figure = draw_balance(study, "pdt", METHODS)
    assert figure is not None
    left, right = figure.axes  # the method without a log has no row
    sequences = study.dataset.modalities
    for number, line in enumerate(left.lines):
        np.testing.assert_allclose(line.get_ydata(), [10.0 * (number + 1), 20.0 * (number + 1)])
        assert list(line.get_xdata()) == [10, 20]
    assert [line.get_label() for line in left.lines] == [modality.title for modality in sequences]
    assert len(right.lines) == len(sequences)
    np.testing.assert_allclose(right.lines[1].get_ydata(), 0.1 * np.arange(1, 21) + 1)
    is_readable(figure)


def test_balance_without_validation_has_no_empty_column(tmp_path: Path) -> None:
    study = make(tmp_path, "simulated-heart")
    log = study.of("pdt", "passion")[0].folder / "metrics.jsonl"
    log.write_text(
        "".join(line for line in log.read_text(encoding="utf-8").splitlines(True) if '"validation"' not in line),
        encoding="utf-8",
    )
    figure = draw_balance(study, "pdt", METHODS)
    assert figure is not None
    [only] = figure.axes
    assert only.get_title().startswith("PASSION, seed 0: ")
    assert len(only.lines) == len(study.dataset.modalities)
    is_readable(figure)


def test_rows_of_the_ablation_take_no_colors_from_the_methods(tmp_path: Path) -> None:
    ablation = tuple(f"ablation_{parts}" for parts in ("fusion", "distill", "monitor", "fusion_distill"))
    methods = ("unet", "baseline", "moddrop", "pmr", "passion", *ablation, "dmafnet")
    write_plan(tmp_path, "simulated-heart", ("pdt",), methods)
    for method in methods:
        write_run(tmp_path, "pdt", method)
    study = read_study(tmp_path)
    figure = draw_dots(study, Bootstrap(3, 50), "pdt", main_methods(study))
    colors = {container.lines[0].get_color() for container in figure.axes[0].containers}  # type: ignore[attr-defined]
    assert len(colors) == 6


def test_gaps_of_a_long_log_are_averaged_in_bins(tmp_path: Path) -> None:
    study = make(tmp_path, "simulated-heart")
    rows = [{"event": "train", "step": n, "curves": {"gap_total": [n, 2 * n, 0]}} for n in range(1, 121)]
    name, lines = gap_lines(rows, study.dataset.modalities)
    steps, values = lines["lge"]
    assert name == "gap_total"
    assert (steps[:2], values[:2]) == ([2, 4], [3.0, 7.0])  # 2 (1 + 2) / 2 and 2 (3 + 4) / 2
    assert len(steps) == 60


def test_without_logs_there_is_no_figure_of_balance(tmp_path: Path) -> None:
    write_plan(tmp_path, "simulated-brain", ("pdt",), METHODS)
    run = write_run(tmp_path, "pdt", "none")
    study = read_study(tmp_path)
    assert draw_balance(study, "pdt", METHODS) is None
    assert dice_alone(read_metrics(run), study.dataset.modalities, study.regions) == {}


def test_saved_figures_are_not_blank_and_repeat(tmp_path: Path) -> None:
    study = make(tmp_path / "runs", "simulated-heart")
    for name in ("a", "b"):
        files = save(draw_dots(study, Bootstrap(3, 200), "pdt", METHODS), tmp_path, name)
        assert files == [f"{name}.{ending}" for ending in FORMATS]
    pixels = imread(tmp_path / "a.png")[..., :3]
    ink = (pixels < 0.9).any(axis=2)
    assert 0.005 < ink.mean() < 0.5
    orange = np.abs(pixels - to_rgb(look(1).color)).max(axis=2) < 0.02
    assert orange.sum() > 100
    for ending in FORMATS:
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_looks_differ_and_neighbors_differ_in_gray() -> None:
    looks = [look(number) for number in range(12)]
    assert len({(each.color, each.marker) for each in looks}) == 12
    gray = [float(np.dot(to_rgb(each.color), (0.299, 0.587, 0.114))) for each in looks[:7]]
    assert all(abs(a - b) > 0.1 for a, b in itertools.pairwise(gray))


SIZE = (12, 10, 4)


def write_results(folder: Path, length: int, spacing: float = 2.0) -> None:
    """Results of each sequence alone and of all: ``length`` voxels of edema in slice 2."""
    folder.mkdir(parents=True)
    labels = np.zeros(SIZE, np.uint8)
    labels[1 : 1 + length, 3:6, 2] = 2
    listed = {}
    for names in (["t1"], ["t1ce"], ["flair"], ["t2"], ["t1", "t1ce", "flair", "t2"], ["t1", "t2"]):
        title = "+".join({"t1ce": "T1ce"}.get(name, name.upper()) for name in names)
        grid = Grid(SIZE, np.diag([spacing, spacing, spacing, 1.0]))
        sitk.WriteImage(to_image(labels, grid), str(folder / f"labels_{title}.nii.gz"))
        listed[title] = {"subset": names, "file": f"labels_{title}.nii.gz", "volumes_ml": {}, "dice_to_fullest": {}}
    document = {
        "model": {"name": "hand-made", "version": "1"},
        "labels": {"1": "Necrotic core", "2": "Edema", "3": "Enhancing tumor"},
        "regions": [{"name": r.name, "title": r.title, "labels": list(r.labels)} for r in REGIONS],
        "results": listed,
    }
    (folder / "provenance.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """An image, a truth, and results of two of three methods."""
    write_plan(tmp_path, "simulated-brain", ("pdt",), METHODS)
    grid = Grid(SIZE, np.diag([2.0, 2.0, 2.0, 1.0]))
    image = np.random.default_rng(0).uniform(1, 2, SIZE).astype(np.float32)
    truth = np.zeros(SIZE, np.uint8)
    truth[2:6, 3:6, 2] = 2
    write_results(tmp_path / "slice" / "none", 3)
    write_results(tmp_path / "slice" / "dmaf", 8)
    for name, array in (("image", image), ("truth", truth)):
        sitk.WriteImage(to_image(array, grid), str(tmp_path / "slice" / f"{name}.nii.gz"))
    return tmp_path


def test_panel_has_a_picture_per_method_and_subset(panel: Path) -> None:
    case = load_panel(panel / "slice", read_plan(panel / "plan.yaml"))
    assert case.subsets == ("T1", "T1ce", "FLAIR", "T2", "T1+T1ce+FLAIR+T2")
    figure = draw_panel(case, "simulated brain tumors")
    assert len(figure.axes) == 2 * 6
    assert [axes.get_title() for axes in figure.axes[:6]] == ["T1", "T1ce", "FLAIR", "T2", "all sequences", "truth"]
    assert [figure.axes[n].get_ylabel() for n in (0, 6)] == ["NONE", "DMAF"]
    pictures = [np.asarray(axes.images[0].get_array(), float) for axes in figure.axes]
    edema = [int((picture[..., 1] - picture[..., 0] > 20).sum()) for picture in pictures]
    # 3 and 8 voxels long against 4 of the truth, the same for every subset.
    assert edema[0] == edema[4] > 0
    assert edema[6] / edema[0] == pytest.approx(8 / 3, rel=0.15)
    assert edema[5] / edema[0] == pytest.approx(4 / 3, rel=0.15)
    is_readable(figure)


def test_panel_refuses_other_grids_and_empty_folders(panel: Path) -> None:
    plan = read_plan(panel / "plan.yaml")
    write_results(panel / "slice" / "passion", 3, spacing=3.0)
    with pytest.raises(InputError, match="different grids"):
        load_panel(panel / "slice", plan)
    empty = panel / "empty"
    empty.mkdir()
    (panel / "slice" / "image.nii.gz").rename(empty / "image.nii.gz")
    with pytest.raises(InputError, match="no results of the plan's methods"):
        load_panel(empty, plan)
