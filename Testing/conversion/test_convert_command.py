"""The command: published checkpoints become bundles; everything else is refused and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conversion.tables import RFNET_2015, TABLES
from DMAFTraining.conversion.converting import convert
from DMAFTraining.convert import main
from DMAFTraining.inference.bundle import load_bundle
from DMAFTraining.inference.metadata import WEIGHTS_HASH_KEY, read_header, read_metadata
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.modalities import BRATS
from tiny import head_grid, head_volume

EACH = pytest.mark.parametrize("name", TABLES)


def _saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    return lambda checkpoint, *options: main([str(checkpoint), "--output", str(tmp_path / "out.safetensors"), *options])


@EACH
def test_checkpoint_as_the_published_training_writes_it(name: str, tmp_path: Path, run: Callable[..., int]) -> None:
    weights = TABLES[name].random()
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))], amsgrad=True)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    parallel = {f"module.{key}": weight for key, weight in weights.items()}
    content = {"epoch": 299, "state_dict": parallel, "optim_dict": optimizer.state_dict()}
    assert run(_saved(tmp_path / "model_last.pth", content)) == 0
    bundle = load_bundle(tmp_path / "out.safetensors")
    expected = convert(weights)
    stored = bundle.network.state_dict()
    assert stored.keys() == expected.weights.keys()
    assert all(torch.equal(stored[key], weight.half().float()) for key, weight in expected.weights.items())
    assert bundle.network.config == expected.config


def test_prefix_of_parallel_training_makes_no_difference(tmp_path: Path, run: Callable[..., int]) -> None:
    weights = TABLES["rfnet"].random()
    made = []
    for content in (weights, {f"module.{key}": weight for key, weight in weights.items()}):
        assert run(_saved(tmp_path / "weights.pth", content), "--overwrite") == 0
        made.append(read_header(tmp_path / "out.safetensors")["__metadata__"])
    assert made[0][WEIGHTS_HASH_KEY] == made[1][WEIGHTS_HASH_KEY]
    assert made[0] == made[1]


def test_files_of_old_versions_are_read(tmp_path: Path, run: Callable[..., int]) -> None:
    content = {"state_dict": TABLES["rfnet"].random()}
    assert run(_saved(tmp_path / "old.pth", content, _use_new_zipfile_serialization=False)) == 0


@EACH
def test_description(name: str, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    path = _saved(tmp_path / "weights.pth", TABLES[name].random())
    assert run(path, "--training-data", "BraTS 2020", "--license", "MIT") == 0
    metadata = read_metadata(tmp_path / "out.safetensors")
    assert metadata.name == "out"
    assert metadata.network["name"] == name
    assert metadata.modalities == BRATS
    assert [label.name for label in metadata.labels] == ["Necrotic core", "Edema", "Enhancing tumor"]
    assert metadata.window.patch == {"mmformer": (32,) * 3, "rfnet": (80,) * 3, "m2ftrans": (32,) * 3}[name]
    assert metadata.preprocessing.spacing == (1.0, 1.0, 1.0)
    assert (metadata.training_data, metadata.license, metadata.expected_dice) == ("BraTS 2020", "MIT", {})
    printed = capsys.readouterr()
    for text in (metadata.description, printed.err):
        assert "accuracy is not the published one" in text
    assert "half precision changes no weight by more than" in printed.out


def test_five_classes_are_those_of_brats_2015(tmp_path: Path, run: Callable[..., int]) -> None:
    assert run(_saved(tmp_path / "weights.pth", RFNET_2015.random())) == 0
    metadata = read_metadata(tmp_path / "out.safetensors")
    names = ["Necrotic core", "Edema", "Non-enhancing tumor", "Enhancing tumor"]
    assert [(label.value, label.name) for label in metadata.labels] == list(enumerate(names, start=1))
    regions = {region.name: region.labels for region in metadata.regions}
    assert regions == {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}


def test_converted_model_segments_a_patient(tmp_path: Path, run: Callable[..., int]) -> None:
    assert run(_saved(tmp_path / "weights.pth", TABLES["m2ftrans"].random())) == 0
    segmenter = Segmenter(tmp_path / "out.safetensors", device="cpu")
    grid = head_grid((24, 26, 22), spacing=1.0)
    case = segmenter.prepare({"t1": head_volume(grid), "flair": head_volume(grid)})
    results = list(segmenter.segment(case, subsets="all"))
    assert [str(result.subset) for result in results] == ["T1+FLAIR", "T1", "FLAIR"]
    assert all(result.labels.shape == (24, 26, 22) for result in results)


class Harmful:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.trace), "w"))


def _check_refused(code: int, folder: Path, capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    assert code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert printed.err.count("\n") == 1, "one sentence for the user, no trace"
    assert sentence in printed.err
    assert [path.name for path in folder.iterdir() if "safetensors" in path.name] == []


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_an_object_is_refused_and_not_run(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    content = {"state_dict": TABLES["rfnet"].random(), "extra": Harmful(tmp_path / "exploded")}
    code = run(_saved(tmp_path / "object.pth", content, _use_new_zipfile_serialization=zipped))
    _check_refused(code, tmp_path, capsys, "holds a Python object (io.open), which could run code")
    assert not (tmp_path / "exploded").exists()


def test_a_whole_model_is_refused(tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(_saved(tmp_path / "model.pth", torch.nn.Linear(2, 2)))
    _check_refused(code, tmp_path, capsys, "holds a Python object (torch.nn.modules.linear.Linear)")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], zipped: bool, keep: float
) -> None:
    path = _saved(tmp_path / "cut.pth", TABLES["rfnet"].random(), _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    _check_refused(run(path), tmp_path, capsys, f"{path} is damaged or no PyTorch checkpoint.")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"weight": torch.zeros(2)}, "is of no known network: its first weights are weight."),
        ({"epoch": 3}, "holds no weights by name"),
        ({"state_dict": {}}, "holds no weights by name"),
        ({"state_dict": {"count": torch.zeros(2, dtype=torch.int64)}}, "holds no weights by name"),
        (torch.zeros(3), "holds no weights by name"),
    ],
)
def test_other_content_is_refused(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], content: object, sentence: str
) -> None:
    _check_refused(run(_saved(tmp_path / "other.pth", content)), tmp_path, capsys, sentence)


def test_missing_and_ill_shaped_weights_are_refused(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "decoder_fuse.RFM2.short_cut.1.conv.weight"
    weights = TABLES["rfnet"].random()
    weight = weights.pop(name)
    _check_refused(run(_saved(tmp_path / "w.pth", weights)), tmp_path, capsys, f"RFNet, but it lacks {name}.")
    weights[name] = weight[:, 1:]
    _check_refused(run(_saved(tmp_path / "w.pth", weights)), tmp_path, capsys, f"{name} of shape (8, 7, 3, 3, 3)")


def test_values_that_half_precision_cannot_hold_are_refused(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = TABLES["rfnet"].random()
    weights["decoder_fuse.seg_layer.bias"][0] = 1e6
    code = run(_saved(tmp_path / "w.pth", weights))
    _check_refused(code, tmp_path, capsys, "decoder.head.bias holds values that are not finite")


def test_output_is_checked_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output, sentence in (("model.pth", "should end in .safetensors"), ("no/model.safetensors", "no folder")):
        assert main([str(tmp_path / "missing.pth"), "--output", str(tmp_path / output)]) == 2
        assert sentence in capsys.readouterr().err
    there = tmp_path / "model.safetensors"
    there.write_text("precious", encoding="utf-8")
    assert main([str(tmp_path / "missing.pth"), "--output", str(there)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert there.read_text(encoding="utf-8") == "precious"


def test_a_missing_checkpoint_is_named(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    _check_refused(run(tmp_path / "none.pth"), tmp_path, capsys, f"There is no checkpoint at {tmp_path / 'none.pth'}.")
