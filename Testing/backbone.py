"""What any backbone must keep, checked on a tiny one: shared by the tests of single networks."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from DMAFTraining.networks.base import Decoded, SegmentationNetwork


def images_of(network: SegmentationNetwork, batch: int = 1, side: int = 32, seed: int = 1) -> Tensor:
    config = network.config
    size = (batch, config.modalities, *(side,) * config.dims)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def every_subset(modalities: int) -> Tensor:
    return torch.tensor([flags for flags in itertools.product((False, True), repeat=modalities) if any(flags)])


def everything(network: SegmentationNetwork, batch: int = 1) -> Tensor:
    return torch.ones(batch, network.config.modalities, dtype=torch.bool)


def tensors_of(decoded: Decoded) -> list[Tensor]:
    return [decoded.logits, *decoded.deep, decoded.embedding, decoded.bottleneck]


def training_pass(network: SegmentationNetwork, images: Tensor, present: Tensor) -> list[Tensor]:
    """Everything a strategy may use: fused rows, and each present sequence alone."""
    features = network.encode(images, present)
    pairs = [(int(b), int(m)) for b, m in present.nonzero()]
    decoded = network.decode_training(features, present, range(len(present)))
    return [*tensors_of(decoded), network.decode_unimodal(features, pairs), network.bottleneck(features, pairs)]


def check_shapes(network: SegmentationNetwork, side: int, deep: list[int]) -> None:
    """Two cases with different subsets; ``deep`` are the sides of the deep-supervision outputs."""
    config = network.config
    present = everything(network, 2)
    present[0, 1:] = False
    images = images_of(network, 2, side)
    features = network.encode(images, present)
    decoded = network.decode_training(features, present, range(2))
    pairs = [(0, 0), (1, 0), (1, config.modalities - 1)]
    coarsest = network.bottleneck(features, pairs)
    full = (side,) * config.dims
    assert all(f.shape[:2] == present.shape for f in features)
    assert decoded.logits.shape == (2, config.classes, *full)
    assert [d.shape for d in decoded.deep] == [(2, config.classes, *(n,) * config.dims) for n in deep]
    assert decoded.embedding.shape[0] == 2
    assert decoded.embedding.shape[2:] == full
    assert decoded.bottleneck.shape == (2, network.bottleneck_channels, *coarsest.shape[2:])
    assert coarsest.shape[:2] == (3, network.bottleneck_channels)
    assert network.decode_unimodal(features, pairs).shape == (3, config.classes, *full)
    network.eval()
    with torch.no_grad():
        assert network(images, present).shape == (2, config.classes, *full)


def check_absent_content_is_inert(network: SegmentationNetwork) -> None:
    """Whatever stands in an absent channel, outputs and gradients stay bit-equal; it gets no gradient."""
    present = everything(network, 2)
    present[0, 0] = present[1, -1] = False
    shown = present.view(*present.shape, *(1,) * network.config.dims)
    outcomes = []
    for fill in (0.0, 1e6, float("nan")):
        images = torch.where(shown, images_of(network, 2), torch.tensor(fill)).requires_grad_()
        torch.manual_seed(5)  # same dropout
        network.zero_grad()
        outputs = training_pass(network, images, present)
        sum(x.square().sum() for x in outputs).backward()
        assert images.grad is not None
        assert not images.grad[~present].any()
        outcomes.append([*outputs, images.grad[present], *(p.grad for p in network.parameters() if p.grad is not None)])
    for other in outcomes[1:]:
        assert len(other) == len(outcomes[0])
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


def check_features_outside_a_subset_are_not_read(network: SegmentationNetwork) -> None:
    """A row may use less than was encoded; what it leaves out may even be NaN."""
    present = every_subset(network.config.modalities)
    with torch.no_grad():
        features = network.encode(images_of(network), everything(network))
        expected = network.decode(features, present[3:4])
        spoiled = [f.clone() for f in features]
        for f in spoiled:
            f[:, ~present[3]] = float("nan")
        assert torch.equal(network.decode(spoiled, present[3:4]), expected)


def check_absent_encoders_do_not_run(network: SegmentationNetwork) -> None:
    """Three cases, of which none has sequence 1 and one has the last."""
    seen = []
    for m, encoder in enumerate(network.encoders):
        encoder.register_forward_hook(lambda _, args, __, m=m: seen.append((m, len(args[0]))))
    present = torch.zeros(3, network.config.modalities, dtype=torch.bool)
    present[:, 0] = present[1, -1] = True
    network(images_of(network, 3), present)
    assert seen == [(0, 3), (network.config.modalities - 1, 1)]


def check_subsets_share_one_encoding(network: SegmentationNetwork) -> None:
    """All subsets decoded from one encoding equal one forward pass each, and differ from each other."""
    network = network.double().eval()
    subsets, images = every_subset(network.config.modalities), images_of(network).double()
    with torch.no_grad():
        together = network.decode(network.encode(images, everything(network)), subsets).softmax(1)
        apart = torch.cat([network(images, row[None]) for row in subsets]).softmax(1)
    assert (together - apart).abs().max() < 1e-9
    for a, b in itertools.combinations(together, 2):
        assert (a - b).abs().max() > 1e-3


def check_rows_choose_their_case(network: SegmentationNetwork) -> None:
    """Rows in any order, several of one case: each equals that case alone."""
    network = network.double().eval()
    images, subsets = images_of(network, 2).double(), every_subset(network.config.modalities)[[2, 5, 6]]
    rows = [1, 0, 1]
    with torch.no_grad():
        decoded = network.decode_training(network.encode(images, everything(network, 2)), subsets, rows)
        for r, case in enumerate(rows):
            alone_features = network.encode(images[case : case + 1], everything(network))
            alone = network.decode_training(alone_features, subsets[r : r + 1], [0])
            pairs = zip(tensors_of(decoded), tensors_of(alone), strict=True)
            assert all(torch.allclose(a[r], b[0], atol=1e-9) for a, b in pairs)
            assert torch.allclose(decoded.logits[r], network(images[case : case + 1], subsets[r : r + 1])[0], atol=1e-9)


def check_one_step_reaches_every_parameter(network: SegmentationNetwork, precision: torch.dtype | None = None) -> None:
    """With everything present, every parameter gets a finite gradient.

    Mixed precision is checked on images of 64: on a grid of 2 voxels a side, the weight gradient of
    PyTorch's bf16 convolution on a CPU reads memory that it never wrote (seen with 2.13).
    """
    side = 32 if precision is None else 64
    with torch.autocast("cpu", precision, enabled=precision is not None):
        outputs = training_pass(network, images_of(network, 2, side), everything(network, 2))
    sum(x.float().square().mean() for x in outputs).backward()
    unreached = [name for name, p in network.named_parameters() if p.grad is None]
    assert not unreached
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def check_bundle_network(network: SegmentationNetwork) -> None:
    """Without its training parts a network has the same other weights, predicts the same and refuses to train."""
    lean = type(network)(network.config, training_heads=False).eval()
    kept = {k: v for k, v in network.state_dict().items() if not k.startswith(network.training_only)}
    assert set(kept) < set(network.state_dict())
    lean.load_state_dict(kept)
    images, present = images_of(network), everything(network)
    with torch.no_grad():
        assert torch.equal(lean(images, present), network.eval()(images, present))
    with pytest.raises(ValueError, match="no training heads"):
        lean.decode_training(lean.encode(images, present), present, [0])
