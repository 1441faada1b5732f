"""Compare the combinations of sequences of a patient on one page: what would have been seen without FLAIR?

One patient, the output folder of predict:

  python -m DMAFTraining.predict --case patient --subsets all --maps entropy contribution --output result
  python -m DMAFTraining.report result --images patient --output report.html
  python -m DMAFTraining.report result --images patient --truth seg.nii.gz --output report.html --pdf figures.pdf
  python -m DMAFTraining.report result --output report.html --reference-subset T1+T2 --pair T1+T2 T2

--images is the folder of the segmented images, which are shown behind the labels (a result folder knows their
names and checksums, not where they are). Volumes, changes, Dice and HD95 of every combination, leave-one-out and
Shapley values of every sequence, where combinations agree and where they differ; what the numbers mean and what they
do not is told in docs/comparison.md.

Many patients, a folder of result folders; {case} stands for the name of each:

  python -m DMAFTraining.report results --output pages --images 'patients/{case}' --truth 'truth/{case}.nii.gz'

writes pages/index.html and a page for each.

Every page is one file that needs no other and no network. Exit code: 0 done, 1 some patients could not be shown,
2 bad input, 130 stopped. Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from DMAFTraining.data.files import write_atomically
from DMAFTraining.data.progress import track
from DMAFTraining.evaluation.content import Case, Content, load_content
from DMAFTraining.evaluation.index_page import CaseLine, index_page
from DMAFTraining.evaluation.report import write_page, write_pdf
from DMAFTraining.evaluation.stored import read_results
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.metadata import BundleMetadata, read_metadata, sha256_file
from DMAFTraining.inference.results import PROVENANCE
from DMAFTraining.modalities import ModalitySet, Subset
from DMAFTraining.predict import DEFAULT_BUNDLE

_CASE = "{case}"
_INDEX = "index.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if not options.results.is_dir():
            raise InputError(f"There is no folder {options.results}.", "Give the output folder of predict.")
        return _one(options) if (options.results / PROVENANCE).is_file() else _many(options)
    except (ValueError, OSError) as error:
        print(f"Error: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m DMAFTraining.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="result folder, or a folder of result folders")
    parser.add_argument("--output", type=Path, required=True, metavar="PLACE", help="HTML file; for many a folder")
    parser.add_argument("--images", metavar="FOLDER", help="folder of the segmented images (default: black background)")
    parser.add_argument("--truth", metavar="IMAGE", help="reference segmentation on the grid of the results")
    parser.add_argument(
        "--reference-subset", metavar="A+B", help="compare with this combination (default: the fullest)"
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("A", "B"),
        help="show where these two combinations differ; again for more (default: the fullest and each without one)",
    )
    parser.add_argument("--background", metavar="SEQUENCE", help="show this sequence where a combination has it")
    parser.add_argument(
        "--bundle", type=Path, nargs="+", default=[DEFAULT_BUNDLE], help="model files (default: the shipped one)"
    )
    parser.add_argument("--simulated", action="store_true", help="say on the page that the patient is simulated")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="also write figures as PDF; of one patient")
    return parser


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} cannot be written or read ({error.strerror})."
    return f"{error} {getattr(error, 'hint', '')}".rstrip()


def _one(options: argparse.Namespace) -> int:
    content = _load(options.results, options)
    write_page(content, options.output)
    if options.pdf:
        write_pdf(content, options.pdf)
    print(f"Open this page in a browser:\n{options.output.resolve()}")
    return 0


def _many(options: argparse.Namespace) -> int:
    folders = sorted(path.parent for path in options.results.glob(f"*/{PROVENANCE}"))
    if not folders:
        raise InputError(
            f"{options.results} holds no finished results (no {PROVENANCE}), and no folder in it does.",
            "Give the output folder of predict, or a folder of such folders.",
        )
    if options.pdf:
        raise InputError("--pdf is for one patient.", "Leave it out, or give a single result folder.")
    options.output.mkdir(parents=True, exist_ok=True)
    lines, problems = [], []
    for folder in track(folders, "Comparing patients"):
        try:
            content = _load(folder, options)
        except ValueError as error:
            problems.append(f"{folder.name}: {_sentence(error)}")
            continue
        page = f"{folder.name}.html"
        write_page(content, options.output / page)
        lines.append(CaseLine.of(folder.name, page, content))
    if not lines:
        raise InputError(problems[0])
    write_atomically(options.output / _INDEX, index_page(lines, problems).encode())
    for problem in problems:
        print(f"Error: {problem}", file=sys.stderr)
    print(f"Open this page in a browser:\n{(options.output / _INDEX).resolve()}")
    return 1 if problems else 0


def _load(folder: Path, options: argparse.Namespace) -> Content:
    stored = read_results(folder)
    metadata = _metadata(stored.provenance["model"], options.bundle)
    known = metadata.modalities
    place = {what: _of_case(getattr(options, what), folder) for what in ("images", "truth")}
    case = Case(
        _images(stored.provenance, place["images"]) if place["images"] else {},
        place["truth"],
        options.simulated,
        _sequence(options.background, known) if options.background else None,
    )
    base = _subset(options.reference_subset, known) if options.reference_subset else None
    pairs = [(_subset(a, known), _subset(b, known)) for a, b in options.pair]
    return load_content(folder, metadata, case, base, pairs)


def _of_case(pattern: str | None, folder: Path) -> Path | None:
    return None if pattern is None else Path(pattern.replace(_CASE, folder.name))


def _metadata(model: dict[str, Any], bundles: Sequence[Path]) -> BundleMetadata:
    """The description of the model that made results, found by its checksum."""
    for path in bundles:
        metadata = read_metadata(path)
        if sha256_file(path) == model.get("sha256"):
            return metadata
    wanted = f"{model['name']} {model['version']}"
    raise InputError(
        f"The results were made with the model {wanted}, which is none of {', '.join(map(str, bundles))}.",
        "Give its file with --bundle.",
    )


def _images(provenance: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The images that were segmented, by sequence; their checksums must be those of the provenance."""
    found = {}
    for name, source in provenance.get("inputs", {}).items():
        path = folder / Path(source["file"]).name
        if not path.is_file():
            raise InputError(f"{folder} does not hold the image {path.name} that was segmented.", "Check --images.")
        if sha256_file(path) != source["sha256"]:
            raise InputError(f"{path} is not the image that was segmented (another checksum).", "Check --images.")
        found[name] = path
    return found


def _subset(text: str, known: ModalitySet) -> Subset:
    try:
        return known.parse(text)
    except ValueError as error:
        raise InputError(str(error)) from error


def _sequence(text: str, known: ModalitySet) -> str:
    return _subset(text, known).names[0]


if __name__ == "__main__":
    sys.exit(main())
