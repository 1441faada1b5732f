"""Score results against a reference segmentation.

  python -m DMAFTraining.evaluate result --truth BraTS2021_00000_seg.nii.gz
  python -m DMAFTraining.evaluate result --truth seg.nii.gz --csv scores.csv --markdown

Prints the Dice overlap of every combination of sequences in a result folder of predict, per
region, and the mean. The reference must lie on the grid of the results; the BraTS value 4 counts
as 3 (enhancing tumor). Exit code: 0 done, 2 bad input. Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from DMAFTraining.evaluation.scores import ScoreTable, read_truth, score_results
from DMAFTraining.evaluation.stored import read_results
from DMAFTraining.inference.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        table = _score(options)
        if options.csv:
            _write(options.csv, table.as_csv())
    except InputError as error:
        print(f"Error: {error} {error.hint}".rstrip(), file=sys.stderr)
        return 2
    print(table.as_markdown() if options.markdown else table.as_text())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m DMAFTraining.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, metavar="RESULTS_FOLDER", help="output folder of predict")
    parser.add_argument("--truth", type=Path, required=True, metavar="IMAGE", help="reference segmentation")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as comma-separated values")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


def _score(options: argparse.Namespace) -> ScoreTable:
    results = read_results(options.results)
    return score_results(results, read_truth(options.truth, results.labels))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}).", "Choose another place for the table."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
