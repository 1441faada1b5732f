"""DMAF-Net: published size, what absent sequences may not do, and the encode/decode seam."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import build_network
from DMAFTraining.networks.blocks import PatchPool
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from tiny import TINY, tiny_network

FLAT = DMAFNetConfig(dims=2, width=2, grid=(2, 2), layers=1, channels_per_head=2, modalities=3)


def _case(batch: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, 4, 32, 32, 32, generator=torch.Generator().manual_seed(seed))


def _subsets() -> torch.Tensor:
    return torch.tensor([BRATS.flags(s) for s in BRATS.subsets()])


def test_parameter_count_at_width_8() -> None:
    network = DMAFNet(DMAFNetConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert parts == {
        "encoders": 5_892_864,
        "fusions": 1_159_157,
        "decoder": 593_356,
        "unimodal_decoder": 593_356,
        "deep_heads": 976,
    }
    assert sum(parts.values()) == 8_239_709


def test_operations_per_80_cubed_window() -> None:
    with torch.device("meta"):
        network = DMAFNet(DMAFNetConfig()).eval()
        images = torch.empty(1, 4, 80, 80, 80)
        with FlopCounterMode(display=False) as counter:
            features = [
                torch.stack(levels, 1) for levels in zip(*(e(images[:, :1]) for e in network.encoders), strict=True)
            ]
            network.decode(features, torch.ones(1, 4, dtype=torch.bool))
    # 46.17 for convolutions and linear layers, 0.99 for attention over 500 tokens
    assert counter.get_total_flops() / 1e9 == pytest.approx(47.16, abs=0.05)


@pytest.mark.parametrize("config", [TINY, FLAT], ids=["3-D", "2-D"])
def test_two_and_three_dimensions(config: DMAFNetConfig) -> None:
    network = DMAFNet(config).train()
    images = torch.randn(2, config.modalities, *(32,) * config.dims)
    present = torch.ones(2, config.modalities, dtype=torch.bool)
    present[0, 1:] = False
    output = network(images, present)
    assert output.logits.shape == (2, 4, *(32,) * config.dims)
    assert [d.shape[-1] for d in output.deep] == [16, 8, 4, 2]
    assert output.unimodal is not None
    assert len(output.unimodal) == 1 + config.modalities == len(output.pairs)
    assert network.eval()(images, present).unimodal is None


def test_content_of_an_absent_sequence_changes_nothing() -> None:
    network = tiny_network().train()
    for p in network.parameters():
        p.grad = None
    present = torch.tensor([[True, False, True, False], [False, True, True, False]])
    outcomes = []
    for fill in (0.0, 1e6, float("nan")):
        images = torch.where(present[:, :, None, None, None], _case(2), torch.tensor(fill)).requires_grad_()
        torch.manual_seed(5)  # same dropout
        network.zero_grad()
        output = network(images, present)
        (output.logits.square().sum() + output.unimodal.square().sum()).backward()
        grads = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        outcomes.append((output.logits.detach(), images.grad[present], grads))
        assert not images.grad[~present].any()
    for logits, image_gradient, grads in outcomes[1:]:
        assert torch.equal(logits, outcomes[0][0])
        assert torch.equal(image_gradient, outcomes[0][1])
        assert all(torch.equal(a, b) for a, b in zip(grads, outcomes[0][2], strict=True))


def test_encoder_of_an_absent_sequence_is_not_run() -> None:
    network = tiny_network()
    seen = []
    for m, encoder in enumerate(network.encoders):
        encoder.register_forward_hook(lambda _, args, __, m=m: seen.append((m, len(args[0]))))
    network(
        _case(3), torch.tensor([[True, False, False, True], [True, False, True, False], [True, False, False, False]])
    )
    assert seen == [(0, 3), (2, 1), (3, 1)]


def test_all_subsets_from_one_encoding_equal_separate_calls() -> None:
    network, images, subsets = tiny_network(), _case(), _subsets()
    with torch.no_grad():
        features = network.encode(images, torch.ones(1, 4, dtype=torch.bool))
        together = network.decode(features, subsets)
        apart = torch.cat([network(images, row[None]).logits for row in subsets])
    together, apart = together.softmax(1), apart.softmax(1)
    assert (together - apart).abs().max() < 1e-4
    assert (together[0] - together[1]).abs().max() > 1e-2  # subsets do differ


def test_one_sequence_passes_the_fusion_unchanged() -> None:
    network, images = tiny_network(), _case()
    for m in range(4):
        present = torch.zeros(1, 4, dtype=torch.bool)
        present[0, m] = True
        features = network.encode(images, torch.ones(1, 4, dtype=torch.bool))
        fused, _ = network.fuse(features, present)
        assert all(torch.equal(f, e[:, m]) for f, e in zip(fused, features, strict=True))


def test_weights_are_a_share_over_present_sequences() -> None:
    network, subsets = tiny_network(), _subsets()
    features = network.encode(_case(), torch.ones(1, 4, dtype=torch.bool))
    for weights in network.fuse(features, subsets)[1]:
        assert torch.allclose(weights.sum(1), torch.ones(()), atol=1e-6)
        assert (weights[~subsets] == 0).all()
        assert (weights[subsets] > 0).all()


def test_fusion_starts_as_the_plain_mean() -> None:
    torch.manual_seed(0)
    network = DMAFNet(TINY).eval()
    features = network.encode(_case(), torch.ones(1, 4, dtype=torch.bool))
    fused, _ = network.fuse(features, torch.tensor([[True, True, False, True]]))
    assert torch.allclose(fused[2], features[2][:, [0, 1, 3]].mean(1), atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_patch_pool_is_a_depthwise_convolution(dims: int) -> None:
    pool = PatchPool(dims, 6, 4)
    torch.nn.init.normal_(pool.bias)
    x = torch.randn(2, 6, *(8, 16, 12)[:dims])
    convolve = {2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}[dims]
    assert torch.allclose(pool(x), convolve(x, pool.weight, pool.bias, stride=4, groups=6), atol=1e-5)


def test_unusable_input_is_refused_in_words() -> None:
    network = tiny_network()
    everything = torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"should be \(B, 4, 3 axes\), not \(1, 3, 32, 32, 32\)"):
        network(torch.zeros(1, 3, 32, 32, 32), everything)
    with pytest.raises(ValueError, match="no sequence at all"):
        network(_case(), ~everything)
    with pytest.raises(ValueError, match=r"multiple of 16 from 32 on, not \(32, 40, 32\)"):
        network(torch.zeros(1, 4, 32, 40, 32), everything)
    with pytest.raises(ValueError, match="Presence should be bool"):
        network(_case(), everything.float())
    with pytest.raises(ValueError, match="unknown network 'unet'; known are dmafnet"):
        build_network("unet", {})
    with pytest.raises(ValueError, match="has no setting depth"):
        build_network("dmafnet", {"depth": 3})
