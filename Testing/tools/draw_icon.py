"""Draw the module's icon: four sequences as rings around a tumor, one of them missing.

    python Testing/tools/draw_icon.py DMAFSegment/Resources/Icons/DMAFSegment.png

The rings have a middle luminance, so that they are seen on light and on dark backgrounds.
"""

from __future__ import annotations

import sys

import numpy as np
import SimpleITK as sitk

SIZE = 128
OVERSAMPLING = 4
BRAIN, OUTLINE = (70, 88, 112, 255), (32, 42, 58, 255)
EDEMA, ENHANCING, CORE = (60, 180, 75, 255), (250, 210, 50, 255), (220, 40, 40, 255)
SEQUENCES = ((90, 130, 200, 255), (60, 140, 160, 255), (140, 115, 205, 255), None)
MISSING = (130, 130, 130, 255)  # the outline of the sequence that is not there


def main(path: str) -> None:
    pixels = draw(SIZE * OVERSAMPLING)
    image = sitk.GetImageFromArray(shrink(pixels, OVERSAMPLING), isVector=True)
    sitk.WriteImage(image, path)


def draw(size: int) -> np.ndarray:
    """The icon (size, size, 4) uint8 without smoothing."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    radius, angle = np.hypot(x, y), np.degrees(np.arctan2(-y, x)) % 360
    canvas = np.zeros((size, size, 4), np.uint8)
    for index, color in enumerate(SEQUENCES):
        start = 90 * index + 45 + 5
        inside = ((angle - start) % 360 < 80) & (radius < 0.97) & (radius > 0.80)
        edge = inside & ((radius > 0.93) | (radius < 0.84))
        canvas[inside if color else edge] = color or MISSING
    canvas[radius < 0.72] = OUTLINE
    canvas[radius < 0.66] = BRAIN
    for size_, color in ((0.40, EDEMA), (0.27, ENHANCING), (0.13, CORE)):
        wobble = 1 + 0.10 * np.cos(np.radians(3 * np.degrees(np.arctan2(y + 0.08, x - 0.1))))
        canvas[np.hypot(x - 0.1, y + 0.08) < size_ * wobble] = color
    return canvas


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of pixels, weighting colors by their opacity."""
    size = pixels.shape[0] // factor
    blocks = pixels.reshape(size, factor, size, factor, 4).astype(float)
    alpha = blocks[..., 3:]
    weight = alpha.sum(axis=(1, 3))
    color = (blocks[..., :3] * alpha).sum(axis=(1, 3)) / np.maximum(weight, 1)
    return np.concatenate([color, weight / factor**2], axis=-1).round().astype(np.uint8)


if __name__ == "__main__":
    main(sys.argv[1])
