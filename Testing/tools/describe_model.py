"""Write what the catalogue says about a model file.

    python Testing/tools/describe_model.py Resources/Models/brats-unet-2mm.safetensors \
        --catalogue Resources/Models/catalogue.json --cpu-seconds 6
    python Testing/tools/describe_model.py our-model.safetensors --catalogue our.catalogue.json \
        --url https://models.example.org/our-model.safetensors --card our-model.md

    python Testing/tools/describe_model.py our-model.safetensors --catalogue our.catalogue.json --card our-model.md \
        --scores simulated/scores.csv patients/scores.csv

Size, SHA-256 and description come from the file. An entry of the same name and version is replaced, others stay;
the catalogue is made when it does not exist. --scores puts tables by combination at the end of the card, the file
beside the model where none is named, each labeled simulated or real as the evaluation says.
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
from DMAFTraining.evaluation.model_card import with_scores  # noqa: E402
from DMAFTraining.evaluation.score_files import read_score_file  # noqa: E402
from DMAFTraining.inference.metadata import read_metadata  # noqa: E402


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
    parser.add_argument("--scores", type=Path, nargs="+", metavar="FILE", help="scores.csv of evaluate, for the card")
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
    if given.scores:
        place = given.card or given.bundle.with_suffix(".md")
        files = [read_score_file(path) for path in given.scores]
        card = with_scores(place.read_text(encoding="utf-8"), files, read_metadata(given.bundle))
        write_atomically(place, card.encode())
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
