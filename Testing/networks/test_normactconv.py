"""Norm, activation and convolution as one step: equal to the plain operations, and lean in memory."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks import decoders, normactconv, phases
from DMAFTraining.networks.blocks import NormActConv, by_rows, convolution, select_pairs, subset_rows, upsample
from DMAFTraining.networks.normactconv import border_conv, norm_act_conv

SIZES = {2: (9, 12), 3: (6, 5, 8)}


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, reflect: bool) -> Tensor:
    dims = x.dim() - 2
    if weight.shape[-1] == 3:
        x = F.pad(x, (1, 1) * dims, mode="reflect" if reflect else "constant")
    return (F.conv3d if dims == 3 else F.conv2d)(x, weight, bias, stride)


def _plain_norm_act(x: Tensor) -> Tensor:
    return F.leaky_relu(F.group_norm(x, x.shape[1]), 0.2)


def _assert_same(found: Tensor, expected: Tensor, leaves: list[Tensor], tolerance: float) -> None:
    """Same values, and same gradients of a random weighting, relative to the largest number."""
    direction = torch.randn_like(expected)
    ours = [found, *torch.autograd.grad(found, leaves, direction.to(found.dtype))]
    theirs = [expected, *torch.autograd.grad(expected, leaves, direction)]
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max()


def _leaves(
    dims: int, channels: tuple[int, ...], outputs: int, side: int, dtype: torch.dtype, rows: int = 2
) -> list[Tensor]:
    torch.manual_seed(3)
    weight = torch.randn(outputs, sum(channels), *(side,) * dims, dtype=dtype)
    maps = [3 * torch.randn(rows, c, *SIZES[dims], dtype=dtype) + 1 for c in channels]
    return [leaf.requires_grad_() for leaf in (weight, torch.randn(outputs, dtype=dtype), *maps)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("channels", [(3,), (8,), (1,), (8, 8), (2, 16)], ids=str)
@pytest.mark.parametrize("dims", [2, 3])
def test_equals_plain_operations(dims: int, channels: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    cases = itertools.product((1, 2), (4, 16), (1, 3), (1, 2), (True, False))
    for rows, outputs, side, stride, reflect in cases:
        weight, bias, *maps = leaves = _leaves(dims, channels, outputs, side, dtype, rows)
        found = norm_act_conv(maps, weight, bias, stride, reflect)
        expected = _plain(_plain_norm_act(torch.cat(maps, dim=1)), weight, bias, stride, reflect)
        _assert_same(found, expected, leaves, tolerance)


@pytest.mark.parametrize("channels", [1, 3, 8, 16])
@pytest.mark.parametrize("dims", [2, 3])
def test_convolution_with_border_equals_plain_operations(dims: int, channels: int) -> None:
    for outputs, side, stride, reflect in itertools.product((1, 8), (1, 3), (1, 2), (True, False)):
        weight, bias, x = leaves = _leaves(dims, (channels,), outputs, side, torch.float64)
        found = border_conv(x, weight, bias, stride, reflect)
        _assert_same(found, _plain(x, weight, bias, stride, reflect), leaves, 1e-12)


def test_work_in_pieces_equals_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias, *maps = leaves = _leaves(3, (20, 9), 8, 3, torch.float64)
    at_once = norm_act_conv(maps, weight, bias)
    expected = [at_once, *torch.autograd.grad(at_once.square().sum(), leaves)]
    monkeypatch.setattr(normactconv, "_PIECE", 1)
    places = [(p.source, p.kernel.start, p.kernel.stop) for p in normactconv._pieces(maps)]
    assert places == [(0, 0, 10), (0, 10, 20), (1, 20, 29)]  # groups of 8 channels or more
    assert [(rows.start, rows.stop) for rows in normactconv._row_groups(maps)] == [(0, 1), (1, 2)]
    in_pieces = norm_act_conv(maps, weight, bias)
    found = [in_pieces, *torch.autograd.grad(in_pieces.square().sum(), leaves)]
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("stride", "reflect"), [(1, True), (1, False), (2, True)])
def test_gradient_equals_finite_differences(stride: int, reflect: bool) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3), torch.randn(3)
    leaves = tuple(leaf.double().requires_grad_() for leaf in (x, weight, bias))
    assert torch.autograd.gradcheck(lambda x, w, b: norm_act_conv([x], w, b, stride, reflect), leaves)


def test_phases_fill_a_vector_and_divide_the_axis() -> None:
    def count(outputs: int, inputs: int, last: int, side: int = 3, stride: int = 1) -> int:
        padded = torch.empty(1, inputs, 4, 4, last + side - 1)
        return phases._phases(padded, torch.empty(outputs, inputs, side, side, side), stride)

    assert count(8, 8, 80) == 2
    assert count(4, 8, 80) == 4
    assert count(8, 8, 81) == 1
    assert count(16, 8, 80) == 1
    assert count(8, 8, 80, stride=2) == 1
    assert count(8, 1, 80) == 8


def test_only_small_single_maps_are_halved() -> None:
    def half(*shape: int, stride: int = 1) -> int:
        return phases._half(torch.empty(shape), torch.empty(4, shape[1], 3, 3, 3), stride)

    assert half(1, 32, 22, 22, 22) == 10
    assert half(1, 32, 22, 22, 22, stride=2) == 5
    assert half(2, 32, 22, 22, 22) == 0  # two rows
    assert half(1, 64, 22, 22, 22) == 0  # 64 * 22 * 22 is more than 20480
    assert half(1, 128, 7, 7, 7) == 0  # 5 outputs


def test_only_the_input_is_kept_for_the_backward_pass() -> None:
    layers = nn.Sequential(*(NormActConv(3, 8, 8) for _ in range(3)))
    x = torch.randn(1, 8, 16, 16, 16, requires_grad=True)
    weights = {p.data_ptr() for p in layers.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layers(x)
    assert sum(kept.values()) == 3 * (x.numel() + 2 * 8)  # the input of each layer; mean and scale per channel


def test_up_sampled_maps_are_made_again_in_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []

    def note(x: Tensor) -> Tensor:
        made.append(tuple(x.shape[1:]))
        return upsample(x)

    monkeypatch.setattr(decoders, "upsample", note)
    decoder = decoders.Decoder(2, 2, 3, 4)
    levels = [[torch.randn(1, 2 * 2**level, 16 // 2**level, 16 // 2**level)] for level in range(3)]
    logits = decoder.head(decoder(levels)[0][0])
    assert made == [(8, 4, 4), (4, 8, 8)]
    logits.sum().backward()
    assert made[2:] == [(4, 8, 8), (8, 4, 4)]


def test_weights_that_need_no_gradient_get_none() -> None:
    weight, bias, x = _leaves(3, (8,), 8, 3, torch.float32)
    norm_act_conv([x.detach()], weight, bias.detach()).sum().backward()
    assert weight.grad is not None
    assert x.grad is None
    assert bias.grad is None


def test_mixed_precision_is_bf16_outside_and_exact_inside() -> None:
    weight, bias, *maps = leaves = _leaves(3, (8, 8), 8, 3, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm_act_conv(maps, weight, bias)
        deeper = norm_act_conv([norm_act_conv(maps, weight, bias)], weight[:, :8], bias)
    assert found.dtype == deeper.dtype == torch.bfloat16
    expected = _plain(_plain_norm_act(torch.cat(maps, dim=1)), weight, bias, 1, True)
    _assert_same(found.float(), expected, leaves, 2e-2)
    assert all(g.dtype == torch.float32 for g in torch.autograd.grad(deeper.float().sum(), leaves))


@pytest.mark.parametrize("border", ["reflect", "zeros"])
def test_layers_of_every_network_take_the_fast_path(border: str) -> None:
    layer = convolution(3, 2, 4, 3, border=border)
    x = torch.randn(1, 2, 6, 6, 6)
    assert torch.allclose(layer(x), _plain(x, layer.weight, layer.bias, 1, border == "reflect"), atol=1e-5)
    assert "Convolution" in type(layer(x).grad_fn).__name__
    grouped = convolution(3, 4, 4, 3, groups=2)
    with torch.no_grad():
        assert torch.allclose(grouped(x.repeat(1, 2, 1, 1, 1)), nn.Conv3d.forward(grouped, x.repeat(1, 2, 1, 1, 1)))


def test_rows_are_worked_on_together_only_where_small(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def work(x: Tensor, y: Tensor) -> Tensor:
        seen.append(len(x))
        return x * y

    rows = [torch.full((1, 2, 4, 4), float(r)) for r in range(5)]
    assert [float(x.mean()) for x in by_rows(work, rows, rows)] == [0, 1, 4, 9, 16]
    monkeypatch.setattr(normactconv, "_PIECE", 2 * 2 * 4 * 4)
    assert [float(x.mean()) for x in by_rows(work, rows, rows)] == [0, 1, 4, 9, 16]
    monkeypatch.setattr(normactconv, "_PIECE", 1)
    assert [float(x.mean()) for x in by_rows(work, rows, rows)] == [0, 1, 4, 9, 16]
    assert seen == [5, 2, 2, 1, 1, 1, 1, 1, 1]


def test_entries_of_pairs_and_subsets() -> None:
    x = torch.arange(6.0).view(2, 3, 1, 1, 1)
    assert select_pairs(x, [(1, 2), (0, 1)]).flatten().tolist() == [5, 1]
    assert select_pairs(x, list(itertools.product(range(2), range(3)))).data_ptr() == x.data_ptr()
    subsets = subset_rows(x, torch.tensor([[True, False, True], [False, True, False]]), [1, 0])
    assert [[float(entry) for entry in row] for row in subsets] == [[3, 5], [1]]
    with pytest.raises(ValueError, match="no sequence at all"):
        subset_rows(x, torch.tensor([[False, False, False]]), [0])
