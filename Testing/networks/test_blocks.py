"""Building blocks: the norm of post-norm networks."""

from __future__ import annotations

import pytest
import torch

from DMAFTraining.networks.blocks import instance_norm


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_instance_norm_of_a_large_map_is_exact_in_every_memory_layout(layout: torch.memory_format) -> None:
    """Single precision against double: a running sum over half a million voxels is off by more than 1e-4."""
    x = (torch.randn(1, 2, 80, 80, 80, generator=torch.Generator().manual_seed(0)) * 2 + 3).contiguous(
        memory_format=layout
    )
    exact = x.double()
    mean, variance = exact.mean((2, 3, 4), keepdim=True), exact.var((2, 3, 4), correction=0, keepdim=True)
    expected = (exact - mean) / (variance + 1e-5).sqrt()
    assert (instance_norm(x) - expected).abs().max() < 5e-6
