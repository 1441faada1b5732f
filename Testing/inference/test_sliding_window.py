"""The subset-sharing sliding window against MONAI's, and its own promises."""

from __future__ import annotations

import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference

from DMAFTraining.inference.errors import Cancelled
from DMAFTraining.inference.sliding_window import gaussian_weights, segment_subsets, window_starts
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


def test_windows_without_brain_are_background_and_cost_nothing() -> None:
    images = torch.zeros(4, 32, 32, 96)
    images[..., :20] = _images((32, 32, 20))
    network = tiny_network()
    calls = []
    network.encoders[0].register_forward_hook(lambda *_: calls.append(1))
    probabilities = segment_subsets(network, images, [(True,) * 4], WINDOW, 0.5)[0]
    assert len(calls) == 2  # starts 0 and 16 of 0, 16, 32, 48, 64
    assert (probabilities[0, ..., 48:] == 1).all()
    assert (probabilities[1:, ..., 48:] == 0).all()


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
