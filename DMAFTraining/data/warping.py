"""Rotation and scaling of a patch, cut from a larger one so that no corner comes up empty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Images = NDArray[np.float32]
Labels = NDArray[np.uint8]


def rotation(dims: int, plane: tuple[int, int], radians: float) -> NDArray[np.float64]:
    """Matrix ``(dims, dims)`` that turns one plane."""
    matrix = np.eye(dims)
    a, b = plane
    matrix[a, a] = matrix[b, b] = np.cos(radians)
    matrix[a, b] = -np.sin(radians)
    matrix[b, a] = np.sin(radians)
    return matrix


def source_size(size: Sequence[int], matrix: NDArray[np.float64]) -> tuple[int, ...]:
    """Smallest box about the same center that holds every voxel :func:`warp` looks at."""
    reach = np.abs(matrix) @ (np.asarray(size) - 1)
    wanted = np.ceil(reach - 1e-6).astype(int) + 1
    # Centers agree only where the sizes differ by an even number.
    return tuple(int(w + (w - s) % 2) for w, s in zip(wanted, size, strict=True))


def warp(
    images: Images,
    labels: Labels,
    matrix: NDArray[np.float64],
    size: Sequence[int],
    background: NDArray[np.float32],
    linear: bool = True,
) -> tuple[Images, Labels]:
    """Resample a patch about its center.

    Args:
        images: ``(C, *source)``.
        labels: ``(*source,)``.
        matrix: ``(dims, dims)``, from a voxel's offset to the center to where its value comes from.
        size: of the result.
        background: ``(C,)`` value of the background, used outside the source too.
        linear: interpolate the images linearly, else take the nearest voxel; labels are nearest.

    Returns:
        Images ``(C, *size)``, exactly the background where the nearest voxel is outside the brain,
        and labels ``(*size,)``.
    """
    fill = torch.from_numpy(background).view(-1, *(1,) * labels.ndim)
    above = torch.from_numpy(images) - fill
    brain = (above != 0).any(dim=0).float()
    field = _sampling_field(labels.shape, matrix, size)
    masks = torch.stack([torch.from_numpy(labels).float(), brain])
    new_labels, inside = _sample(masks, field, "nearest")
    moved = _sample(above, field, "bilinear" if linear else "nearest") * inside + fill
    return moved.numpy(), new_labels.to(torch.uint8).numpy()


def _sampling_field(source: Sequence[int], matrix: NDArray[np.float64], size: Sequence[int]) -> torch.Tensor:
    """Where each voxel of the result looks, in the units of ``grid_sample`` (-1 to 1, last axis first)."""
    per_axis = matrix * (np.asarray(size) - 1)[None, :] / np.maximum(np.asarray(source) - 1, 1)[:, None]
    theta = np.zeros((1, len(size), len(size) + 1))
    theta[0, :, :-1] = per_axis[::-1, ::-1]
    return functional.affine_grid(torch.from_numpy(theta).float(), [1, 1, *size], align_corners=True)


def _sample(values: torch.Tensor, field: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(values[None], field, mode, padding_mode="zeros", align_corners=True)[0]
