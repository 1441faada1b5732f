"""The model bundle: one ``.safetensors`` file with weights and a validated description.

Weights are stored in half precision and verified by SHA-256 on load. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from DMAFTraining.inference.metadata import (
    DOCUMENT_HASH_KEY,
    DOCUMENT_KEY,
    WEIGHTS_HASH_KEY,
    BundleError,
    BundleMetadata,
    parse_document,
    read_header,
    read_metadata,
    sha256_file,
    sha256_text,
)
from DMAFTraining.networks import NETWORKS, build_network, network_config
from DMAFTraining.networks.base import SegmentationNetwork


@dataclass(frozen=True)
class Bundle:
    """A model ready to run: its description, the network in eval mode, and the file's SHA-256."""

    metadata: BundleMetadata
    network: SegmentationNetwork
    sha256: str


def save_bundle(path: Path, metadata: BundleMetadata, weights: Mapping[str, Tensor]) -> None:
    """Write a bundle atomically; weights that only training uses are left out.

    Args:
        path: the ``.safetensors`` file to make; its folder must exist.
        metadata: the description, validated before anything is written.
        weights: ``state_dict`` of the network, in any precision.

    Raises:
        BundleError: the description is invalid, or a weight is not finite.
    """
    text = metadata.to_json()
    parse_document(text)
    name = metadata.network["name"]
    if name not in NETWORKS:
        raise BundleError(f"{path} was not written: there is no network {name!r}; known are {', '.join(NETWORKS)}.")
    left_out = NETWORKS[name].training_only
    kept = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in weights.items()
        if not name.startswith(left_out)
    }
    _check_finite(path, kept)
    keys = {
        DOCUMENT_KEY: text,
        DOCUMENT_HASH_KEY: sha256_text(text),
        WEIGHTS_HASH_KEY: _hash_weights(kept),
    }
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as stream:
        stream.write(save(kept, metadata=keys))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def rewrite_bundle(source: Path, target: Path, metadata: BundleMetadata) -> None:
    """Write the weights of one bundle, byte for byte, into another one with another description.

    Raises:
        BundleError: the source is damaged, the description invalid, or both are the same file.
    """
    if target.exists() and target.samefile(source):
        raise BundleError(f"{target} was not written: it is the model itself; give another file.")
    save_bundle(target, metadata, _checked_weights(source))


def load_bundle(path: Path, device: torch.device | str = "cpu") -> Bundle:
    """Read, verify and build a model in fp32 on ``device``.

    Raises:
        BundleError: missing, damaged, of another format, or weights that do not fit the network.
    """
    path = Path(path)
    metadata = read_metadata(path)
    weights = _checked_weights(path)
    try:
        config = network_config(metadata.network["name"], metadata.network["config"])
        network = build_network(config, training_heads=False)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{path} cannot be used: its weights do not fit its network ({reason}).") from error
    return Bundle(metadata, network.eval().to(device), sha256_file(path))


def _checked_weights(path: Path) -> dict[str, Tensor]:
    read_metadata(path)  # a file that is no bundle is called that
    expected = read_header(path)["__metadata__"].get(WEIGHTS_HASH_KEY)
    weights = _read_weights(path)
    if _hash_weights(weights) != expected:
        raise BundleError(f"{path} is damaged: its weights do not match their checksum. Get the file again.")
    _check_finite(path, weights)
    return weights


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise BundleError(f"{path} is damaged: its weights cannot be read ({error}). Get the file again.") from error


def _check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"{path}: weight {name} holds values that are not finite.")


def _hash_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
