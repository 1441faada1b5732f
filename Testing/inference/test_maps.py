"""Entropy maps: values by hand, and files of the command on the reference image's own grid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.stats import entropy as oracle

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import to_image
from DMAFTraining.inference.job import read_job
from DMAFTraining.inference.maps import normalized_entropy
from DMAFTraining.inference.segmenter import Segmenter
from tiny import head_grid, head_volume, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("m") / "tiny.safetensors")


def test_entropy_by_hand() -> None:
    # sure; two of four equally; all four equally; nothing; a sum of one half, equally shared by two
    columns = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0, 0, 0, 0], [0.25, 0.25, 0, 0]]
    assert normalized_entropy(torch.tensor(columns).T).tolist() == pytest.approx([0, 0.5, 1, 0, 0.5])


@pytest.mark.parametrize("shape", [(5, 6, 7), (6, 7)])
@pytest.mark.parametrize("classes", [2, 4])
def test_entropy_equals_scipy(shape: tuple[int, ...], classes: int) -> None:
    probabilities = torch.rand((classes, *shape), generator=torch.Generator().manual_seed(0))
    expected = oracle(probabilities.double().numpy(), base=classes, axis=0)
    found = normalized_entropy(probabilities)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-6)


def test_map_lies_where_the_brain_is(bundle: Path) -> None:
    segmenter = Segmenter(bundle, "cpu")
    volume = head_volume(head_grid())
    case = segmenter.prepare({"t1": volume})
    (plain,), (result,) = segmenter.segment(case), segmenter.segment(case, with_entropy=True)
    assert plain.entropy is None
    assert result.entropy is not None
    assert result.entropy.shape == volume.array.shape
    assert result.entropy[volume.array != 0].mean() > 0.05
    assert np.array_equal(plain.labels, result.labels)
    (probabilities,) = (classes for _, classes in segmenter.probabilities(case))
    box = tuple(slice(start, stop) for start, stop in case.native_box)
    empty = probabilities.sum(dim=0).numpy() == 0
    assert empty.any()
    assert not result.entropy[box][empty].any()
    shares = probabilities.numpy()[:, ~empty]
    assert result.entropy[box][~empty] == pytest.approx(oracle(shares, base=len(shares), axis=0), abs=1e-5)


def test_command_writes_one_map_per_subset(bundle: Path, tmp_path: Path) -> None:
    arguments: list[object] = [
        "--bundle",
        bundle,
        "--subsets",
        "all",
        "--maps",
        "entropy",
        "--output",
        tmp_path / "out",
    ]
    for seed, name in enumerate(("t1", "flair")):
        volume = head_volume(head_grid((36, 40, 34), 3.1), seed)
        sitk.WriteImage(to_image(volume.array, volume.grid), str(tmp_path / f"{name}.nii.gz"))
        arguments += [f"--{name}", tmp_path / f"{name}.nii.gz"]
    command = [sys.executable, "-m", "DMAFTraining.predict", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert set(document["results"]) == {"T1+FLAIR", "T1", "FLAIR"}
    for title, row in document["results"].items():
        assert row["maps"] == {"entropy": f"entropy_{title}.nii.gz"}
        image = sitk.ReadImage(str(tmp_path / "out" / row["maps"]["entropy"]))
        labels = sitk.ReadImage(str(tmp_path / "out" / row["file"]))
        assert image.GetPixelID() == sitk.sitkFloat32
        assert image.GetSize() == labels.GetSize()
        assert image.GetOrigin() == labels.GetOrigin()
        array = sitk.GetArrayFromImage(image)
        assert array.min() == 0
        assert 0 < array.max() <= 1
    assert list(document["stage_seconds"]) == ["load", "read", "prepare", "segment"]
    assert document["seconds"] == pytest.approx(sum(document["stage_seconds"].values()), abs=0.05)
    assert document["created"].endswith("+00:00")


def test_unknown_map_in_a_job_is_refused(tmp_path: Path) -> None:
    job = {"schema": 1, "bundle": "b", "inputs": {"t1": "a"}, "output": "o", "maps": ["entropy", "heat"]}
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    with pytest.raises(InputError, match="no map 'heat', only entropy"):
        read_job(path)
    path.write_text(json.dumps(job | {"maps": ["entropy"]}), encoding="utf-8")
    assert read_job(path).maps == ("entropy",)
