"""Make a smaller copy of a picture for the README: ``shrink_png.py SOURCE TARGET WIDTH``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image


def shrink(source: Path, target: Path, width: int) -> None:
    """Write ``source`` scaled to ``width`` pixels, in all its colors: a palette would lose the rare ones of labels."""
    picture = Image.open(source).convert("RGB")
    height = round(picture.height * width / picture.width)
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    small.save(target, optimize=True)


if __name__ == "__main__":
    shrink(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
