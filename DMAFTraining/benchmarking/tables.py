"""The verb ``tables``: from a folder of finished runs to the tables and figures of the paper."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.evaluation.empty_rule import EMPTY_RULES, Distance
from DMAFTraining.inference.errors import InputError

_EXAMPLES = """examples:
  # everything, into the folder report; open report/index.md
  python -m DMAFTraining.benchmark tables runs/matrix --output report

  # with the BraTS challenge's rule for empty masks, and tests against PASSION
  python -m DMAFTraining.benchmark tables runs/matrix --output report --empty brats --reference passion

  # with a picture of one slice: slice/image.nii.gz, slice/truth.nii.gz, and slice/<method> from predict
  python -m DMAFTraining.benchmark tables runs/matrix --output report --panel slice

RUNS_FOLDER holds plan.yaml and <setting>/<method>/seed<seed>/scores.csv. Runs that are not there yet are dashes.

"""


def add_tables(commands: Any) -> None:
    """Register the verb at the subparsers of a command; ``run`` of its options does the work."""
    parser = commands.add_parser(
        "tables",
        help="tables and figures of the paper from finished runs",
        description="Tables (Markdown, CSV, LaTeX) and figures (PNG, PDF) from a folder of finished runs, with "
        "confidence intervals over cases, paired tests and the spread of seeds.\n" + RESEARCH_NOTICE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, metavar="RUNS_FOLDER", help="folder with plan.yaml")
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder to write (default report)")
    parser.add_argument("--distance", choices=get_args(Distance), default="hd95_pooled", help="default hd95_pooled")
    parser.add_argument("--empty", choices=list(EMPTY_RULES), help="rule for empty masks (default: the plan's)")
    parser.add_argument("--reference", metavar="METHOD", help="tested against (default: the plan's last method)")
    parser.add_argument("--panel", type=Path, metavar="FOLDER", help="also draw one slice, see below")
    parser.set_defaults(run=make_tables)


def make_tables(options: argparse.Namespace) -> Iterator[str]:
    """Write the report; yields where it is.

    Raises:
        ValueError: the folder or an option does not fit.
    """
    # Imported here: processes that measure the memory of a step import this module too.
    from DMAFTraining.evaluation.paper_report import ReportSettings, write_paper_report
    from DMAFTraining.evaluation.study_reader import read_study

    settings = ReportSettings(options.distance, options.reference, options.panel, _command(options))
    try:
        study = read_study(options.runs, options.empty)
        page = write_paper_report(study, settings, options.output)
    except InputError as error:
        raise ValueError(f"{error} {error.hint}".rstrip()) from error
    yield f"{len(study.runs)} runs, {len(study.cases)} cases: {page}"


def _command(options: argparse.Namespace) -> str:
    """The command with every choice spelled out."""
    words = ["python", "-m", "DMAFTraining.benchmark", "tables", str(options.runs), "--output", str(options.output)]
    words += ["--distance", options.distance]
    words += ["--empty", options.empty] if options.empty else []
    words += ["--reference", options.reference] if options.reference else []
    words += ["--panel", str(options.panel)] if options.panel else []
    return shlex.join(words)
