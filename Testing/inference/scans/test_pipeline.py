"""The steps together: order, one mask for all, what is told, cache, cancel. The steps themselves are replaced by known
ones; that the real ones work in a whole run is tested with the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.inference.errors import Cancelled, InputError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, to_image
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.scans.options import ScanOptions
from DMAFTraining.inference.scans.pipeline import PreparedScans, prepare_scans
from DMAFTraining.modalities import BRATS
from raw_scans_rig import brain_mask, rigid, scan
from tiny import head_grid, oblique_grid

MODEL = (BRATS, Preprocessing((4.0, 4.0, 4.0)))
GRID = head_grid((64, 72, 64), 3.0)
THICK = oblique_grid((66, 70, 34), (8.0, -5.0, 4.0), (3.0, 3.0, 6.0), 1)
LAY = rigid((6.0, -4.0, 8.0), (7.0, -5.0, 6.0))
"""Where the patient lay in the T2 scan."""
BRAIN_ML = 1164.0


@dataclass
class Bench:
    """Stands in for the slow steps and counts how often they run."""

    registered: list[Matrix] = field(default_factory=list)
    extracted: list[Volume] = field(default_factory=list)
    evened: list[Volume] = field(default_factory=list)
    doubt: str = ""
    lies_at: Matrix | None = None
    name: str = "deepbet"
    version: str = "1.0.2"

    def register(self, moving: Volume, fixed: Volume, on_progress: Callable[[float], None]) -> Matrix:
        for fraction in (0.0, 0.5, 1.0):
            on_progress(fraction)
        self.registered.append(np.linalg.inv(LAY))
        return self.registered[-1]

    def __call__(self, volume: Volume, on_progress: Callable[[float], None]) -> np.ndarray:
        on_progress(0.5)
        self.extracted.append(volume)
        return brain_mask(volume.grid, self.lies_at)

    def log_bias(self, volume: Volume, on_progress: Callable[[float], None]) -> Volume:
        """Twice as bright everywhere."""
        on_progress(1.0)
        self.evened.append(volume)
        return Volume(np.full((2, 2, 2), np.log(2), np.float32), Grid((2, 2, 2), volume.grid.ijk_to_ras))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr("DMAFTraining.inference.scans.aligning.register", bench.register)
    monkeypatch.setattr("DMAFTraining.inference.scans.aligning.doubts", lambda *_: bench.doubt)
    monkeypatch.setattr("DMAFTraining.inference.scans.brain_mask.find_tool", lambda choice: bench)
    monkeypatch.setattr("DMAFTraining.inference.scans.evening.log_bias", bench.log_bias)
    return bench


@pytest.fixture(scope="module")
def raw() -> dict[str, Volume]:
    return {"t1": scan("t1", GRID), "t2": scan("t2", THICK, LAY)}


def _prepare(volumes: dict[str, Volume], reference: str | None = None, **options: Any) -> PreparedScans:
    return prepare_scans(volumes, *MODEL, ScanOptions(**options), reference)


def test_prepared_images_come_out_untouched(bench: Bench) -> None:
    volumes = {name: scan(name, GRID, stripped=True, seed=n) for n, name in enumerate(BRATS.names)}
    scans = _prepare(volumes)
    assert all(scans.volumes[name] is volumes[name] for name in volumes)
    assert scans.reference == "t1"
    assert (scans.transforms, scans.steps, scans.warnings, scans.brain_tool) == ({}, (), (), None)
    assert (bench.registered, bench.extracted) == ([], [])


def test_raw_scans_land_on_the_reference_with_the_brain_alone(bench: Bench, raw: dict[str, Volume]) -> None:
    scans = _prepare(raw)
    assert scans.reference == "t1"
    assert scans.native == {"t1": GRID, "t2": THICK}
    assert np.array_equal(scans.transforms["t2"], np.linalg.inv(LAY))
    assert np.allclose(scans.volumes["t2"].grid.ijk_to_ras, np.linalg.inv(LAY) @ THICK.ijk_to_ras)
    for name, volume in scans.volumes.items():
        inside = brain_mask(volume.grid)  # the head is at its place now
        cut = volume.array != 0
        assert _dice(cut, inside) > 0.97, name
        assert np.array_equal(volume.array[cut], raw[name].array[cut])
    (extracted,) = bench.extracted
    assert extracted is raw["t1"]
    assert scans.brain_tool == "deepbet 1.0.2"
    assert scans.brain_ml == pytest.approx(BRAIN_ML, rel=0.01)
    assert scans.warnings == ()
    assert [(s["step"], s.get("sequence")) for s in scans.steps] == [("registration", "t2"), ("brain", None)]
    assert scans.steps[1]["applied_to"] == ["t1", "t2"]


def test_a_mask_found_on_a_moved_scan_moves_with_it(bench: Bench) -> None:
    """T1 is the one to find the brain on, and T1ce, which is finer, the one that stays."""
    fine = head_grid((96, 108, 96), 2.0)
    bench.lies_at = LAY
    scans = _prepare({"t1": scan("t1", GRID, LAY), "t1ce": scan("t1ce", fine)})
    assert scans.reference == "t1ce"
    assert _dice(scans.volumes["t1ce"].array != 0, brain_mask(fine)) > 0.98
    assert _dice(scans.volumes["t1"].array != 0, brain_mask(GRID, LAY)) > 0.98


@pytest.mark.parametrize("of", ["t2", "t1"])
def test_the_mask_of_the_user_belongs_to_the_scan_whose_grid_it_shares(
    bench: Bench, raw: dict[str, Volume], tmp_path: Path, of: str
) -> None:
    grid, lies_at = {"t1": (GRID, None), "t2": (THICK, LAY)}[of]
    path = tmp_path / "mask.nii.gz"
    sitk.WriteImage(to_image(brain_mask(grid, lies_at).astype(np.uint8), grid), str(path))
    scans = _prepare(raw, brain="mask", brain_mask=path)
    for name, at in (("t1", None), ("t2", LAY)):
        assert _dice(scans.volumes[name].array != 0, brain_mask(raw[name].grid, at)) > 0.95
    assert scans.brain_tool == "mask"
    assert scans.steps[-1]["placed_with"] == of
    assert scans.steps[-1]["file"] == "mask.nii.gz"
    assert bench.extracted == []


def test_the_brain_of_a_stripped_sequence_is_the_mask_of_the_others(bench: Bench, raw: dict[str, Volume]) -> None:
    stripped = scan("flair", GRID, stripped=True)
    scans = _prepare({"t1": raw["t1"], "flair": stripped}, registration="off")
    assert scans.volumes["flair"] is stripped
    assert np.array_equal(scans.volumes["t1"].array != 0, brain_mask(GRID))
    assert scans.brain_tool == "brain of FLAIR"
    assert scans.steps[-1]["applied_to"] == ["t1"]
    assert bench.extracted == []


def test_a_stripped_image_on_another_background_gets_zeros(bench: Bench) -> None:
    volume = scan("t1", GRID, stripped=True)
    lifted = Volume(np.where(volume.array == 0, np.float32(-50), volume.array), GRID)
    scans = _prepare({"t1": lifted})
    assert np.array_equal(scans.volumes["t1"].array, volume.array)
    assert [code for code, _ in scans.warnings] == ["brain"]
    assert scans.steps == ({"step": "background", "sequence": "t1"},)


def test_doubts_are_told_and_pictured(bench: Bench, raw: dict[str, Volume]) -> None:
    bench.doubt = "It looks odd."
    scans = _prepare(raw)
    assert scans.warnings == (("registration", "T2: It looks odd."),)
    assert scans.pictures["t2"].dtype == np.uint8
    assert scans.steps[0]["doubt"] == "It looks odd."


def test_an_odd_mask_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch, raw: dict[str, Volume]) -> None:
    monkeypatch.setattr(Bench, "__call__", lambda self, volume, told: np.indices(volume.grid.size).sum(axis=0) < 40)
    ((code, sentence), *_) = _prepare({"t1": raw["t1"]}).warnings
    assert code == "brain"
    assert "mL" in sentence


def test_a_head_that_stays_is_a_warning(bench: Bench, raw: dict[str, Volume]) -> None:
    scans = _prepare({"t1": raw["t1"]}, brain="off")
    assert scans.volumes["t1"] is raw["t1"]
    assert scans.warnings == (("skull", "T1 seems to show the whole head; this model expects the brain alone."),)


def test_without_a_tool_nothing_slow_is_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, raw: dict[str, Volume]
) -> None:
    def missing(choice: str) -> None:
        raise InputError("no brain extraction is installed")

    monkeypatch.setattr("DMAFTraining.inference.scans.brain_mask.find_tool", missing)
    with pytest.raises(InputError, match="no brain extraction is installed"):
        _prepare(raw)
    assert bench.registered == []


def test_progress_never_goes_back_and_names_the_stages(bench: Bench, raw: dict[str, Volume]) -> None:
    told: list[tuple[float, str]] = []
    options = ScanOptions(bias_correction=True)
    prepare_scans(raw, *MODEL, options, on_step=lambda fraction, stage, message: told.append((fraction, stage)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, pytest.approx(1.0))
    assert list(dict.fromkeys(stage for _, stage in told)) == ["register", "brain", "bias"]


@pytest.mark.parametrize("stage", ["register", "brain", "bias"])
def test_cancel_stops_each_step_and_leaves_no_half_file(
    bench: Bench, raw: dict[str, Volume], tmp_path: Path, stage: str
) -> None:
    def stop(fraction: float, at: str, message: str) -> None:
        if at == stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        prepare_scans(raw, *MODEL, ScanOptions(bias_correction=True, cache=tmp_path), on_step=stop)
    assert len(list(tmp_path.iterdir())) == {"register": 0, "brain": 1, "bias": 2}[stage]
    assert not list(tmp_path.glob("*.part"))


def test_a_second_run_takes_every_step_from_the_cache_and_gives_the_same(
    bench: Bench, raw: dict[str, Volume], tmp_path: Path
) -> None:
    first, second = (_prepare(raw, bias_correction=True, cache=tmp_path / "c") for _ in range(2))
    assert (len(bench.registered), len(bench.extracted), len(bench.evened)) == (1, 1, 2)
    assert [step["cached"] for step in first.steps] == [False] * 4
    assert [step["cached"] for step in second.steps] == [True] * 4
    for name in raw:
        assert np.array_equal(first.volumes[name].array, second.volumes[name].array)
        assert np.array_equal(first.volumes[name].grid.ijk_to_ras, second.volumes[name].grid.ijk_to_ras)
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_another_version_of_the_tool_or_another_scan_is_not_taken_from_the_cache(
    bench: Bench, raw: dict[str, Volume], tmp_path: Path
) -> None:
    _prepare(raw, cache=tmp_path)
    bench.version = "1.0.3"
    _prepare(raw, cache=tmp_path)
    assert (len(bench.registered), len(bench.extracted)) == (1, 2)
    other = scan("t1", GRID, seed=9)
    _prepare(raw | {"t1": other}, cache=tmp_path)
    assert (len(bench.registered), len(bench.extracted)) == (2, 3)


def test_the_field_is_found_on_the_brain_alone_and_divided_out(bench: Bench, raw: dict[str, Volume]) -> None:
    plain, even = (_prepare({"t1": raw["t1"]}, bias_correction=on).volumes["t1"] for on in (False, True))
    (seen,) = bench.evened
    assert np.array_equal(seen.array, plain.array)
    assert np.allclose(even.array, plain.array / 2, rtol=1e-5)


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())
