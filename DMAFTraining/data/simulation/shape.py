"""Random pose and deformation of a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.noise import smooth_noise
from DMAFTraining.data.simulation.types import FloatArray, LabelArray, Matrix, Shape

_SUBVOXELS = np.array([[x, y, z] for x in (-0.25, 0.25) for y in (-0.25, 0.25) for z in (-0.25, 0.25)])


@dataclass(frozen=True)
class Grid:
    """The voxel grid of a simulated case.

    Attributes:
        shape: voxels (X, Y, Z).
        spacing: voxel edge in mm.
    """

    shape: Shape
    spacing: float

    def positions(self) -> FloatArray:
        """Positions of the voxel centers in mm from the grid's center, (3, X, Y, Z)."""
        axes = [(np.arange(size) - (size - 1) / 2.0) * self.spacing for size in self.shape]
        return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)

    def noise(self, scale: float, rng: np.random.Generator) -> FloatArray:
        """Smooth noise on this grid, blobs of ``scale`` mm, standard deviation 1."""
        return smooth_noise(self.shape, self.spacing, scale, rng)

    def affine(self) -> Matrix:
        """Voxel index to position in mm (RAS), origin in the center of the grid."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = [-(size - 1) / 2.0 * self.spacing for size in self.shape]
        return affine


@dataclass(frozen=True)
class Pose:
    """Where each output voxel comes from.

    Attributes:
        grid: the output grid.
        linear: 3x3, output mm to source voxels (1 mm).
        source: source voxel positions (3, X, Y, Z), linear part and smooth deformation together.
        midline: source position of the midline along the first axis, in voxels.
    """

    grid: Grid
    linear: Matrix
    source: FloatArray
    midline: float

    def pushed(self, displacement: FloatArray) -> Pose:
        """The same pose after tissue moved by ``displacement`` mm (3, X, Y, Z) in output space."""
        index = np.indices(self.grid.shape, dtype=np.float32) - displacement / np.float32(self.grid.spacing)
        moved = [ndimage.map_coordinates(part, index, order=1, mode="nearest") for part in self.source]
        return Pose(self.grid, self.linear, np.stack(moved), self.midline)

    def side(self) -> FloatArray:
        """Signed distance to the midline in source mm: negative on the one, positive on the other side."""
        return self.source[0] - self.midline

    def sample_labels(self, labels: LabelArray) -> LabelArray:
        """Labels at the voxel centers, (X, Y, Z)."""
        return ndimage.map_coordinates(labels, self.source, order=0, mode="constant", cval=0)

    def sample_sublabels(self, labels: LabelArray) -> list[LabelArray]:
        """Labels at eight places inside each voxel, for partial volume; one place for voxels of 1.2 mm or less."""
        if self.grid.spacing <= 1.2:
            return [self.sample_labels(labels)]
        found = []
        for offset in _SUBVOXELS * self.grid.spacing:
            step = (self.linear @ offset).astype(np.float32)[:, None, None, None]
            found.append(ndimage.map_coordinates(labels, self.source + step, order=0, mode="constant", cval=0))
        return found

    def sample_image(self, image: FloatArray) -> FloatArray:
        """A continuous image on the output grid: two places per voxel, averaged against aliasing."""
        total = np.zeros(self.grid.shape, np.float32)
        for sign in (-1.0, 1.0):
            step = (self.linear @ np.full(3, sign * 0.25 * self.grid.spacing)).astype(np.float32)
            total += ndimage.map_coordinates(image, self.source + step[:, None, None, None], order=1, mode="constant")
        return total / 2.0


def _rotation(angles: np.ndarray) -> Matrix:
    cosine, sine = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cosine[0], -sine[0]], [0, sine[0], cosine[0]]])
    about_y = np.array([[cosine[1], 0, sine[1]], [0, 1, 0], [-sine[1], 0, cosine[1]]])
    about_z = np.array([[cosine[2], -sine[2], 0], [sine[2], cosine[2], 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def draw_pose(shape: Shape, midline: float, spacing: float, rng: np.random.Generator) -> Pose:
    """Draw rotation, scale, left-right flip and a smooth deformation for a source of ``shape`` at 1 mm."""
    # Heads differ by about a tenth in size and by a twentieth in proportions.
    scale = rng.uniform(0.92, 1.1) * rng.uniform(0.96, 1.04, 3)
    # Room for the larger head and for its turned corners.
    sizes = np.array(shape) / scale + 4.0
    grid = Grid(tuple(int(np.ceil(size / spacing)) + 1 for size in sizes), spacing)
    linear = _rotation(rng.normal(0.0, 0.09, 3)) @ np.diag(scale)
    if rng.random() < 0.5:
        linear = linear @ np.diag([-1.0, 1.0, 1.0])
    source = np.tensordot(linear.astype(np.float32), grid.positions(), 1)
    strength = rng.uniform(0.3, 1.0)
    # Amplitude stays far below the knot distance, so that the map does not fold.
    for knots, amplitude in ((60.0, 4.0), (28.0, 1.6)):
        for axis in range(3):
            source[axis] += strength * amplitude * grid.noise(knots, rng)
    center = (np.array(shape) - 1) / 2.0
    source += center.astype(np.float32)[:, None, None, None]
    return Pose(grid, linear, source, midline)
