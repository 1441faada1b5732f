"""Make the sample case that ships with the module: a simulated patient, its description and its thumbnail.

    python Testing/tools/make_sample_case.py DMAFSegment/Resources/SampleData

Writes one compressed int16 image per sequence (2 mm), ``sample.json`` (names, SHA-256) and ``sample.png``.
The patient is simulated on the ICBM152 template with the seed of ``make demo``; nobody's data is in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - the path above
import SimpleITK as sitk  # noqa: E402
from PIL import Image, ImageDraw, ImageOps  # noqa: E402

from DMAFTraining.data.simulation.case import SimulatedCase, simulate_case  # noqa: E402
from DMAFTraining.data.simulation.template import load_icbm152  # noqa: E402
from DMAFTraining.inference.geometry import Grid, to_image  # noqa: E402
from DMAFTraining.modalities import BRATS  # noqa: E402

SEED = 25  # a ring-enhancing tumor of about 70 mL with edema, as in `make demo`
SPACING = 2.0  # mm
BRIGHT = 1000  # what the 99th percentile of an image becomes
THUMBNAIL = (260, 280)  # pixels (width, height), the size the Sample Data module shows
CAPTION = 16  # pixels below the images


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write into")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    case = simulate_case(load_icbm152(), np.random.default_rng(SEED), SPACING)
    images = {name: whole_numbers(case.images[name]) for name in BRATS.names}
    entries = [write_image(folder, name, images[name], case) for name in BRATS.names]
    picture(images, case.labels).save(folder / "sample.png", optimize=True)
    document = {
        "name": "SimulatedBrainTumor",
        "title": "Simulated brain tumor",
        "description": "A simulated patient with four MR sequences at 2 mm, made by Testing/tools/make_sample_case.py",
        "simulated": True,
        "thumbnail": "sample.png",
        "images": entries,
    }
    (folder / "sample.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(entries)} images, {total / 1e6:.2f} MB in all")


def whole_numbers(image: np.ndarray) -> np.ndarray:
    """The image (X, Y, Z) as int16, so scaled that the 99th percentile of the brain is ``BRIGHT``."""
    return np.round(image * (BRIGHT / np.percentile(image[image > 0], 99))).astype(np.int16)


def write_image(folder: Path, name: str, image: np.ndarray, case: SimulatedCase) -> dict[str, str]:
    """Write one sequence; returns its entry of the description."""
    i, j, k = image.shape
    path = folder / f"DMAFSegment-simulated_{name}.nii.gz"
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressionLevel(9)
    writer.Execute(to_image(image, Grid((i, j, k), case.affine)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sequence": name, "node": f"Simulated_{BRATS[name].title}", "file": path.name, "sha256": digest}


def picture(images: dict[str, np.ndarray], labels: np.ndarray) -> Image.Image:
    """The four sequences in the slice with the most tumor, seen from the feet as radiologists do."""
    level = int((labels > 0).sum(axis=(0, 1)).argmax())
    width, height = THUMBNAIL
    tile = (width // 2, (height - CAPTION) // 2)
    sheet = Image.new("L", THUMBNAIL)
    pen = ImageDraw.Draw(sheet)
    for index, (name, image) in enumerate(images.items()):
        plane = np.clip(
            image[::-1, ::-1, level].T / (1.1 * BRIGHT), 0, 1
        )  # anterior on top, patient's left on the right
        piece = ImageOps.pad(Image.fromarray((255 * plane).astype(np.uint8)), tile, Image.Resampling.LANCZOS)
        corner = (index % 2 * tile[0], index // 2 * tile[1])
        sheet.paste(piece, corner)
        pen.text((corner[0] + 4, corner[1] + 2), BRATS[name].title, fill=255)
    pen.text((width // 2, height - CAPTION // 2), "simulated patient", fill=255, anchor="mm")
    return sheet


if __name__ == "__main__":
    main()
