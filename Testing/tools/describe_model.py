"""Write what the catalogue says about a model file.

    python Testing/tools/describe_model.py Resources/Models/brats-dmaf-2mm-preview.safetensors \
        --catalogue Resources/Models/catalogue.json --cpu-seconds 6
    python Testing/tools/describe_model.py our-model.safetensors --catalogue our.catalogue.json \
        --url https://models.example.org/our-model.safetensors --card our-model.md

Size, SHA-256 and description come from the file. An entry of the same name and version is replaced, others stay;
the catalogue is made when it does not exist.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "DMAFSegment")]

from DMAFSegmentLib.catalogue import SCHEMA_VERSION, describe_bundle, read_catalogue  # noqa: E402 - needs the path
from DMAFTraining.data.files import write_atomically  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="\n".join((__doc__ or "").splitlines()[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="model file (.safetensors)")
    parser.add_argument("--catalogue", type=Path, required=True, help="file to write, named ...catalogue.json")
    parser.add_argument("--url", default="", help="https address of the model file; leave out for a shipped one")
    parser.add_argument("--card", type=Path, help="Markdown file to put into the entry")
    parser.add_argument("--cpu-seconds", type=float, help="time of one segmentation on a processor, if measured")
    parser.add_argument("--gpu-seconds", type=float, help="time of one segmentation on a graphics card, if measured")
    given = parser.parse_args()
    try:
        add(given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def add(given: argparse.Namespace) -> None:
    """Put the entry into the catalogue; nothing is written when the result would not be valid."""
    times = {"cpu": given.cpu_seconds, "gpu": given.gpu_seconds}
    seconds = {device: value for device, value in times.items() if value is not None}
    card = given.card.read_text(encoding="utf-8") if given.card else ""
    entry = describe_bundle(given.bundle, given.url, seconds, card)
    document = {"$schema": "catalogue.schema.json", "schema_version": SCHEMA_VERSION, "models": []}
    if given.catalogue.exists():
        read_catalogue(given.catalogue)
        document = json.loads(given.catalogue.read_text(encoding="utf-8"))
    same = (entry["name"], entry["version"])
    others = [model for model in document["models"] if (model["name"], model["version"]) != same]
    document["models"] = [*others, entry]
    trial = given.catalogue.with_name(f".{given.catalogue.name}.trial")
    write_atomically(trial, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    try:
        read_catalogue(trial)
        trial.replace(given.catalogue)
    finally:
        trial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
