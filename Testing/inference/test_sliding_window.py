"""The subset-sharing sliding window against MONAI's, and its own promises."""

from __future__ import annotations

import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference

from DMAFTraining.inference.errors import Cancelled
from DMAFTraining.inference.sliding_window import segment_subsets
from DMAFTraining.inference.tiles import gaussian_weights, window_starts
from DMAFTraining.modalities import BRATS
from tiny import tiny_network

WINDOW = (32, 32, 32)


def _images(size: tuple[int, ...] = (40, 48, 35)) -> torch.Tensor:
    return torch.randn(4, *size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("size", "starts"),
    [(80, [0]), (81, [0, 1]), (120, [0, 40]), (155, [0, 40, 75]), (160, [0, 40, 80]), (60, [0])],
)
def test_window_starts(size: int, starts: list[int]) -> None:
    assert window_starts(size, 80, 0.5) == starts


def test_blending_weights_equal_monais() -> None:
    theirs = compute_importance_map((32, 48, 16), mode="gaussian", sigma_scale=0.125, dtype=torch.float32)
    assert torch.allclose(gaussian_weights((32, 48, 16)), theirs.squeeze(), atol=1e-6)


def test_probabilities_equal_monais_sliding_window() -> None:
    network, images = tiny_network(), _images()
    present = torch.tensor([[True, False, True, True]])

    def predict(tile: torch.Tensor) -> torch.Tensor:
        return torch.cat([network(one[None], present).softmax(1) for one in tile])

    with torch.no_grad():
        theirs = sliding_window_inference(images[None], WINDOW, 1, predict, overlap=0.5, mode="gaussian")[0]
    ours = segment_subsets(network, images, present.tolist(), WINDOW, 0.5)[0]
    assert (ours - theirs).abs().max() < 1e-4


def test_many_subsets_equal_one_by_one() -> None:
    network, images = tiny_network(), _images((33, 32, 40))
    rows = [BRATS.flags(s) for s in BRATS.subsets()]
    together = segment_subsets(network, images, rows, WINDOW, 0.5)
    assert together.shape == (15, 4, 33, 32, 40)
    assert torch.allclose(together.sum(1), torch.ones(()), atol=1e-5)
    for n in (0, 6, 14):
        alone = segment_subsets(network, images, [rows[n]], WINDOW, 0.5)[0]
        assert (together[n] - alone).abs().max() < 1e-4


def test_case_smaller_than_the_window_keeps_its_size() -> None:
    images = _images((20, 33, 31))
    assert segment_subsets(tiny_network(), images, [(True,) * 4], WINDOW, 0.5).shape == (1, 4, 20, 33, 31)


def _encoded(images: torch.Tensor, window: tuple[int, ...] = WINDOW) -> tuple[int, torch.Tensor]:
    """How many windows were encoded, and the probabilities from all sequences."""
    network, windows = tiny_network(), []
    network.encoders[0].register_forward_hook(lambda _, given, __: windows.append(len(given[0])))
    probabilities = segment_subsets(network, images, [(True,) * 4], window, 0.5)[0]
    return sum(windows), probabilities


def test_windows_without_brain_are_background_and_cost_nothing() -> None:
    images = torch.zeros(4, 32, 32, 160)
    images[..., :20] = _images((32, 32, 20))
    images[..., 140:] = _images((32, 32, 20))
    encoded, probabilities = _encoded(images)
    assert encoded == 4  # the first and the last two of the starts 0, 16, ..., 128
    assert (probabilities[0, ..., 48:112] == 1).all()
    assert (probabilities[1:, ..., 48:112] == 0).all()
    assert (probabilities[0, ..., :48] < 1).all()


def test_windows_lie_on_the_brain_not_on_what_surrounds_it() -> None:
    images = torch.zeros(4, 50, 60, 170)
    images[:, 5:45, 6:54, 100:135] = _images()  # 40 x 48 x 35, and the margin adds 4 voxels on each side
    encoded, probabilities = _encoded(images)
    assert encoded == 2 * 3 * 2  # on the sides 48, 56 and 43
    alone = torch.zeros(4, 48, 56, 43)
    alone[:, 4:44, 4:52, 4:39] = _images()
    expected = segment_subsets(tiny_network(), alone, [(True,) * 4], WINDOW, 0.5)[0]
    assert torch.equal(probabilities[:, 1:49, 2:58, 96:139], expected)
    probabilities[:, 1:49, 2:58, 96:139] = expected.new_tensor([1, 0, 0, 0]).view(4, 1, 1, 1)
    assert (probabilities[0] == 1).all()
    assert (probabilities[1:] == 0).all()


def test_a_small_brain_keeps_a_whole_window_around_it_inside_the_grid() -> None:
    images = torch.zeros(4, 40, 40, 40)
    images[:, :6, 17:23, 34:] = 1
    encoded, probabilities = _encoded(images)
    assert encoded == 1
    segmented = probabilities[0] < 1
    assert segmented[:32, 4:36, 8:].all()
    assert segmented.sum() == 32**3


def test_progress_ends_at_one_and_cancel_stops_at_the_next_piece() -> None:
    seen: list[float] = []
    segment_subsets(tiny_network(), _images(), [(True,) * 4], WINDOW, 0.5, on_tile=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) == 8

    def stop(fraction: float) -> None:
        if fraction > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment_subsets(tiny_network(), _images(), [(True,) * 4], WINDOW, 0.5, on_tile=stop)


def test_temperature_softens() -> None:
    network, images = tiny_network(), _images((32, 32, 32))
    cold = segment_subsets(network, images, [(True,) * 4], WINDOW, 0.5)
    warm = segment_subsets(network, images, [(True,) * 4], WINDOW, 0.5, temperature=5.0)
    assert (warm.argmax(1) == cold.argmax(1)).all()
    assert warm.max(1).values.mean() < cold.max(1).values.mean()


def test_no_brain_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no brain to segment"):
        segment_subsets(tiny_network(), torch.zeros(4, 32, 32, 32), [(True,) * 4], WINDOW, 0.5)
