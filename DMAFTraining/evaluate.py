"""How good are segmentations? Score the results of one patient, or models on many cases.

One patient, results of predict against a reference segmentation:

  python -m DMAFTraining.evaluate result --truth BraTS2021_00000_seg.nii.gz
  python -m DMAFTraining.evaluate result --truth seg.nii.gz --csv scores.csv --markdown

prints the Dice overlap of every combination of sequences in the result folder, per region, and the
mean. The reference must lie on the grid of the results; the BraTS value 4 counts as 3 (enhancing tumor).

Many cases, one or more models, every combination of the sequences that each case has:

  python -m DMAFTraining.evaluate --bundle a.safetensors b.safetensors --cases BraTS2020 --output scores
  python -m DMAFTraining.evaluate --bundle dmaf.safetensors --cases cases.csv --output scores \\
      --subsets T1+FLAIR,T2 --empty nan --processes 4

writes scores.csv (one row per model, case, combination and region: Dice, HD95 in both definitions,
Hausdorff distance, volumes, calibration), slices.csv for networks that see slices, tables.txt and tables.md
(means in the order of the paper's tables). Folders and manifests are those of prepare. The same command
goes on after an interruption and evaluates only what is new.

Exit code: 0 done, 1 some cases could not be evaluated, 2 bad input, 130 stopped.
Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from DMAFTraining.data.pool import ProcessDiedError
from DMAFTraining.data.progress import progress
from DMAFTraining.data.splits import SplitKind
from DMAFTraining.evaluation.cohort import EvaluatedModel, Outcome, evaluate_cohort, finished_parts, open_models
from DMAFTraining.evaluation.cohort_report import TABLES, CohortReport
from DMAFTraining.evaluation.empty_rule import EMPTY_RULES
from DMAFTraining.evaluation.scores import ScoreTable, read_truth, score_results
from DMAFTraining.evaluation.stored import read_results
from DMAFTraining.evaluation.summary import HEADLINES
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.segmenter import choose_device


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    one = options.results and options.truth
    many = options.bundle and options.cases and options.output
    if bool(one) == bool(many):
        parser.error(
            "give RESULTS_FOLDER and --truth for one patient; or --bundle, --cases and --output for many cases"
        )
    try:
        return _evaluate_results(options) if one else _evaluate_cohort(options)
    except ProcessDiedError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"Error: {error} {getattr(error, 'hint', '')}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m DMAFTraining.evaluate",
        usage="%(prog)s RESULTS_FOLDER --truth IMAGE [...]\n"
        "       %(prog)s --bundle FILE [FILE ...] --cases PLACE --output FOLDER [...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one = parser.add_argument_group("one patient")
    one.add_argument("results", type=Path, nargs="?", metavar="RESULTS_FOLDER", help="output folder of predict")
    one.add_argument("--truth", type=Path, metavar="IMAGE", help="reference segmentation")
    one.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as comma-separated values")
    one.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    _add_cohort_options(parser.add_argument_group("many cases"))
    return parser


def _add_cohort_options(many: argparse._ArgumentGroup) -> None:
    many.add_argument("--bundle", type=Path, nargs="+", metavar="FILE", help="model files")
    many.add_argument("--cases", type=Path, metavar="PLACE", help="folder of cases, or case manifest (CSV, JSON)")
    many.add_argument("--output", type=Path, metavar="FOLDER", help="where scores are kept; go on in an older one")
    many.add_argument(
        "--subsets", default="all", help="all (default), full (everything a case has), or a list such as T1+FLAIR,T2"
    )
    many.add_argument(
        "--split",
        choices=get_args(SplitKind),
        default="none",
        help="evaluate only the test part of this split of the cases (default none: all of them)",
    )
    many.add_argument(
        "--empty",
        choices=list(EMPTY_RULES),
        default="passion",
        help="distance where truth or prediction is empty, in tables: passion (default): 1 mm if one is, 0 if both;"
        " brats: 373.13 mm and 0; nan: left out and counted",
    )
    many.add_argument("--processes", type=_positive_int, help="how many cases at once (default: one per core)")
    many.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _evaluate_results(options: argparse.Namespace) -> int:
    table = _score(options)
    if options.csv:
        _write(options.csv, table.as_csv())
    print(table.as_markdown() if options.markdown else table.as_text())
    return 0


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


def _evaluate_cohort(options: argparse.Namespace) -> int:
    choose_device(options.device)
    models = open_models(options.bundle, options.cases, options.split)
    options.output.mkdir(parents=True, exist_ok=True)
    outcomes = _run(models, options)
    problems = {str(problem) for model in models for problem in model.cohort.problems}
    failures = sorted(problems | {outcome.problem for outcome in outcomes if outcome.problem})
    parts = finished_parts(options.output, outcomes)
    report = CohortReport(models, parts, options.cases, options.subsets, options.split, options.empty, failures)
    report.write(options.output)
    _tell(report, outcomes, options.output)
    return 1 if failures else 0


def _run(models: Sequence[EvaluatedModel], options: argparse.Namespace) -> list[Outcome]:
    """How every case of every model ended, in the order of models and cases."""
    place = {(model.sha256, case.name): None for model in models for case in model.cohort.cases}
    found: dict[tuple[str, str], Outcome] = {}
    with progress("Evaluating") as report:
        for outcome in evaluate_cohort(models, options.subsets, options.output, options.device, options.processes):
            found[outcome.sha256, outcome.case] = outcome
            report(len(found), len(place))
    return [found[key] for key in place]


def _tell(report: CohortReport, outcomes: Sequence[Outcome], output: Path) -> None:
    print(report.as_text(HEADLINES))
    kept = sum(outcome.kept for outcome in outcomes)
    earlier = f", {kept} of them earlier" if kept else ""
    done = sum(not outcome.problem for outcome in outcomes)
    print(f"{done} of {len(outcomes)} evaluated{earlier}; all measures in {output / TABLES[0]}.")


if __name__ == "__main__":
    sys.exit(main())
