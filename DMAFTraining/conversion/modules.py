"""Names of the modules that several published networks share: ours, and theirs."""

from __future__ import annotations

from collections.abc import Iterator

Names = Iterator[tuple[str, str]]
"""Our and the published name of each module."""


def encoder(ours: str, theirs: str, levels: int) -> Names:
    """The convolutional levels of one sequence."""
    for level in range(levels):
        yield f"{ours}.entries.{level}", f"{theirs}.e{level + 1}_c1"
        yield f"{ours}.residuals.{level}.0", f"{theirs}.e{level + 1}_c2"
        yield f"{ours}.residuals.{level}.1", f"{theirs}.e{level + 1}_c3"


def decoder(patterns: tuple[str, str, str], theirs: str, steps: int) -> Names:
    """The steps up of a decoder and its head; ``patterns`` are our names with ``{}`` for the step.

    They stand for what comes after up-sampling, after joining, and for the point-wise block at the end.
    """
    for step in range(steps):
        for pattern, ending in zip(patterns, ("c1", "c2", "out"), strict=True):
            yield pattern.format(step), f"{theirs}.d{steps - step}_{ending}"
    yield "decoder.head", f"{theirs}.seg_layer"


def staged_decoder(theirs: str, steps: int) -> Names:
    """The decoder of RFNet and M2FTrans."""
    return decoder(("decoder.stages.{}.raise_", "decoder.stages.{}.merge", "decoder.stages.{}.mix"), theirs, steps)


def concat_fusion(ours: str, theirs: str) -> Names:
    """Three post-norm blocks on a concatenation."""
    yield f"{ours}.first", f"{theirs}.0.conv"
    yield f"{ours}.blocks.0", f"{theirs}.1"
    yield f"{ours}.blocks.1", f"{theirs}.2"


def transformer_layer(ours: str, theirs: str, index: int) -> Names:
    """Layer ``index`` of a published transformer."""
    attention, feed_forward = f"{theirs}.cross_attention_list.{index}.fn", f"{theirs}.cross_ffn_list.{index}.fn"
    yield f"{ours}.norm_attention", f"{attention}.norm"
    yield f"{ours}.qkv", f"{attention}.fn.qkv"
    yield f"{ours}.projection", f"{attention}.fn.proj"
    yield f"{ours}.norm_mlp", f"{feed_forward}.norm"
    yield f"{ours}.mlp.0", f"{feed_forward}.fn.net.0"
    yield f"{ours}.mlp.3", f"{feed_forward}.fn.net.3"
