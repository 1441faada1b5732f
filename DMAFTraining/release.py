"""From trained models to one that can be given to others.

    python -m DMAFTraining.release choose --bundles dmaf.safetensors unet.safetensors --scores scores/scores.csv \\
        --output chosen.safetensors
    python -m DMAFTraining.release calibrate --bundle chosen.safetensors --cases validation \\
        --output calibrated.safetensors
    python -m DMAFTraining.release expect --bundle calibrated.safetensors --scores test/scores.csv \\
        --output model.safetensors
    python -m DMAFTraining.release control --bundle model.safetensors --case t1=T1.nii.gz flair=FLAIR.nii.gz \\
        --output control

    python -m DMAFTraining.release worst --bundle model.safetensors --scores test/scores.csv --cases test \\
        --output worst

No command changes weights; the first three write a new model file, whole or not at all. `make train-release` runs
them in this order. Exit code: 0 done, 2 bad input, 130 stopped.
Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.files import write_atomically
from DMAFTraining.data.progress import progress
from DMAFTraining.evaluation.case_scores import read_evaluation_case
from DMAFTraining.evaluation.cohort import EvaluatedModel, open_models
from DMAFTraining.evaluation.negative_control import CONTROL, run_control
from DMAFTraining.evaluation.score_files import count_cases, expected_dice, overall_dice, read_score_file
from DMAFTraining.evaluation.targets import model_name
from DMAFTraining.evaluation.temperature import By, fit_temperatures
from DMAFTraining.evaluation.window_logits import Samples, joined, sample_case
from DMAFTraining.evaluation.worst import draw_worst, worst_results
from DMAFTraining.inference.bundle import rewrite_bundle
from DMAFTraining.inference.metadata import read_metadata, sha256_file
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.modalities import Subset

CHOICE = "choice.json"

_CHOOSE = """Copy the model with the best mean Dice on simulated cases.

The mean is over subsets, regions and score files; scores of real patients are refused, so that they stay an exam.
choice.json beside the copy lists what every model reached."""
_CALIBRATE = """Fit the temperatures that divide the logits, and write them into a new model file.

Every case is segmented from all subsets of its sequences. From each, --voxels voxels of the brain are drawn evenly,
the same for all subsets, and the temperature with the least negative log-likelihood of the truth there is taken: one
per subset, or one per number of sequences. The error printed and stored (ECE, mean over regions) is of the same
voxels, before at temperature 1; evaluate the new file on other cases for an independent figure."""
_EXPECT = """Write the Dice that users may expect into a new model file, from the scores.csv of this very file."""
_CONTROL = """Segment a brain without tumor from every subset: whatever volume is called is wrong.

Writes control.csv (one row per subset and region) and control.md."""
_WORST = """Draw the worst results of an evaluation: sequences, truth and result side by side.

Worst is the least mean Dice over regions; no case and no subset is drawn twice. One PNG each, named by both."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        print(options.run(options))
    except (ValueError, OSError) as error:
        print(f"Error: {error} {getattr(error, 'hint', '')}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m DMAFTraining.release", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        title = text.splitlines()[0]
        return commands.add_parser(name, help=title, description=f"{text}\n{RESEARCH_NOTICE}", formatter_class=raw)

    _add_choose(command("choose", _CHOOSE))
    _add_calibrate(command("calibrate", _CALIBRATE))
    _add_expect(command("expect", _EXPECT))
    _add_control(command("control", _CONTROL))
    _add_worst(command("worst", _WORST))
    return parser


def _add_choose(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_choose)
    parser.add_argument("--bundles", type=Path, nargs="+", required=True, metavar="FILE", help="models to choose from")
    _add_scores(parser)
    _add_output(parser)


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_calibrate)
    _add_bundle(parser)
    parser.add_argument(
        "--cases", type=Path, nargs="+", required=True, metavar="PLACE", help="folders of cases, or case manifests"
    )
    parser.add_argument(
        "--by", choices=get_args(By), default="subset", help="one temperature for each (default subset)"
    )
    parser.add_argument("--voxels", type=_positive_int, default=10000, help="drawn per case (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    _add_output(parser)


def _add_expect(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_expect)
    _add_bundle(parser)
    _add_scores(parser)
    parser.add_argument(
        "--about", default="", help='what the cases are, for the description, such as "of held-out heads"'
    )
    _add_output(parser)


def _add_control(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_control)
    _add_bundle(parser)
    parser.add_argument("--case", nargs="+", required=True, metavar="NAME=FILE", help="brain-extracted sequences")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for control.csv and control.md")


def _add_worst(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_worst)
    _add_bundle(parser)
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE", help="scores.csv of evaluate")
    parser.add_argument("--cases", type=Path, required=True, metavar="PLACE", help="the cases that were evaluated")
    parser.add_argument("--count", type=_positive_int, default=3, help="how many (default 3)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for the pictures")


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="the model")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")


def _add_scores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scores",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="scores.csv of evaluate, evaluation.json beside",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the new model file")


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _choose(options: argparse.Namespace) -> str:
    files = [read_score_file(path) for path in options.scores]
    if real := [file.path for file in files if not file.simulated]:
        raise ValueError(f"{real[0]} is of real patients; a model is chosen by simulated cases only.")
    means = {path: [overall_dice(file.of(sha256_file(path))) for file in files] for path in options.bundles}
    best = max(means, key=lambda path: float(np.mean(means[path])))
    partial = options.output.with_name(f"{options.output.name}.part")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(best, partial)
    partial.replace(options.output)
    rows = {str(path): {"dice": values, "mean": float(np.mean(values))} for path, values in means.items()}
    record = {"chosen": str(best), "scores": [str(path) for path in options.scores], "models": rows}
    write_atomically(options.output.with_name(CHOICE), json.dumps(record, indent=1).encode())
    lines = [f"{100 * float(np.mean(values)):6.2f} %  {path}" for path, values in means.items()]
    return "\n".join(["Mean Dice on simulated cases:", *lines, f"{best} was copied to {options.output}."])


def _calibrate(options: argparse.Namespace) -> str:
    segmenter = Segmenter(options.bundle, options.device, "fp32")
    cohorts = [model for place in options.cases for model in open_models([options.bundle], place)]
    if problems := [problem for model in cohorts for problem in model.cohort.problems]:
        raise ValueError(f"Not all cases can be used: {problems[0]}")
    samples = _sample(segmenter, cohorts, options.voxels, options.seed)
    fitted = fit_temperatures(samples, segmenter.metadata.regions, options.by)
    source = f"{_cases_in_words(cohorts)}, {options.voxels} voxels of each brain; one temperature per {options.by}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rewrite_bundle(options.bundle, options.output, fitted.describe(segmenter.metadata, source))
    return f"Fitted on {source}.\n{fitted.as_text()}\nWritten to {options.output}."


def _cases_in_words(cohorts: Sequence[EvaluatedModel]) -> str:
    simulated = all(model.cohort.simulated for model in cohorts)
    count = sum(len(model.cohort.cases) for model in cohorts)
    return f"{count} {'simulated ' if simulated else ''}case{'' if count == 1 else 's'}"


def _sample(
    segmenter: Segmenter, cohorts: Sequence[EvaluatedModel], voxels: int, seed: int
) -> Mapping[Subset, Samples]:
    """Samples of every subset over all cases."""
    cases = [(raw, model.cohort.spec) for model in cohorts for raw in model.cohort.cases]
    rng = np.random.default_rng(seed)
    parts: dict[Subset, list[Samples]] = {subset: [] for subset in segmenter.metadata.modalities.subsets()}
    with progress("Calibrating") as report:
        for number, (raw, spec) in enumerate(cases, 1):
            for subset, found in sample_case(segmenter, read_evaluation_case(raw, spec), voxels, rng).items():
                parts[subset].append(found)
            report(number, len(cases))
    return {subset: joined(found) for subset, found in parts.items() if found}


def _expect(options: argparse.Namespace) -> str:
    metadata, sha256 = read_metadata(options.bundle), sha256_file(options.bundle)
    files = [read_score_file(path) for path in options.scores]
    rows = [row for file in files for row in file.of(sha256)]
    simulated = all(file.simulated for file in files)
    count = sum(count_cases(file.of(sha256)) for file in files)
    source = f"{count} {'simulated ' if simulated else ''}test cases {options.about}".rstrip()
    described = replace(metadata, expected_dice=expected_dice(rows, metadata), expected_dice_source=source)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rewrite_bundle(options.bundle, options.output, described)
    return f"{model_name(metadata)}: mean Dice {overall_dice(rows):.3f} on {source}.\nWritten to {options.output}."


def _control(options: argparse.Namespace) -> str:
    if wrong := [text for text in options.case if "=" not in text]:
        raise ValueError(f"{wrong[0]!r} is not NAME=FILE; give sequences as t1=T1.nii.gz.")
    inputs = dict(text.split("=", 1) for text in options.case)
    segmenter = Segmenter(options.bundle, options.device)
    with progress("Segmenting") as report:
        found = run_control(segmenter, inputs, lambda fraction: report(round(100 * fraction), 100))
    found.write(options.output)
    return f"{found.as_markdown()}\nWritten to {options.output / CONTROL[0]} and {CONTROL[1]}."


def _worst(options: argparse.Namespace) -> str:
    segmenter = Segmenter(options.bundle, options.device)
    rows = read_score_file(options.scores).named(model_name(segmenter.metadata))
    [model] = open_models([options.bundle], options.cases)
    raw = {case.name: case for case in model.cohort.cases}
    found = worst_results(rows, options.count)
    if lacking := [result.case for result in found if result.case not in raw]:
        raise ValueError(f"{options.cases} has no case {lacking[0]}; give the cases that {options.scores} is about.")
    options.output.mkdir(parents=True, exist_ok=True)
    for result in found:
        case = read_evaluation_case(raw[result.case], model.cohort.spec)
        draw_worst(segmenter, case, result, options.output / f"{result.stem}.png")
    lines = [f"{result.mean:.3f}  {result.stem}.png" for result in found]
    return "\n".join([f"Mean Dice over regions of the worst, in {options.output}:", *lines])


if __name__ == "__main__":
    sys.exit(main())
