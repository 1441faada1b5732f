"""The verb ``scans``: raw-like scans from a clean case, through the whole pipeline, compared with the truth."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from DMAFTraining import RESEARCH_NOTICE

_EXAMPLES = """examples:
  # T1ce 1 mm isotropic, the others 5 mm thick, every head moved by up to 15 mm and 20 degrees
  python -m DMAFTraining.benchmark scans --case BraTS2021_00000 --head training_seg_20.nii.gz --output raw-test

  # other grids, gentler motion; T1ce stays in place
  python -m DMAFTraining.benchmark scans --case BraTS2021_00000 --head training_seg_20.nii.gz --output raw-test \\
      --grid t1=1x1x1:sagittal flair=0.9x0.9x4:axial --shift 5 --angle 5 --still t1ce

The case is a folder of co-registered, brain-extracted images, with a segmentation named ..._seg.nii.gz if there is
one. The head is a FreeSurfer-style label map of a whole head, skull and scalp included (values 500 and more).
In the output folder: report.md and report.json, the scans (raw; stripped by the true brain; aligned by the truth
too), truth (transforms, brain and segmentation on each grid), and the results of every run.

"""


def add_scans(commands: Any) -> None:
    """Register the verb at the subparsers of a command; ``run`` of its options does the work."""
    parser = commands.add_parser(
        "scans",
        help="the way from raw-like scans to labels, against the truth",
        description="Make raw-like scans from a clean case, run the whole pipeline on them, and compare with the "
        "truth: registration, brain, labels, native grids, seconds.\n" + RESEARCH_NOTICE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", type=Path, required=True, metavar="FOLDER", help="of a clean case")
    parser.add_argument("--head", type=Path, required=True, metavar="LABELS", help="label map of a whole head")
    parser.add_argument("--bundle", type=Path, help="model file (default: that of predict)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="new folder")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument(
        "--grid",
        nargs="+",
        default=[],
        metavar="NAME=SPACING:PLANE",
        help="voxels in mm and plane of slices of a sequence, such as t2=0.5x0.5x5:coronal (default: "
        "1x1x1:sagittal for T1ce, else the first; 1x1x5, axial, sagittal and coronal in turn, for the others)",
    )
    parser.add_argument("--shift", type=float, default=15.0, help="longest shift of a head in mm (default 15)")
    parser.add_argument("--angle", type=float, default=20.0, help="largest turn of a head in degrees (default 20)")
    parser.add_argument("--tilt", type=float, default=10.0, help="largest tilt of slices in degrees (default 10)")
    parser.add_argument("--still", nargs="+", default=[], metavar="NAME", help="sequences whose head is not moved")
    parser.add_argument("--noise", type=float, default=0.02, help="relative to the brain's median (default 0.02)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default cpu)")
    parser.set_defaults(run=measure_scans)


def measure_scans(options: argparse.Namespace) -> Iterator[str]:
    """Make, run, measure; yields the report.

    Raises:
        ValueError: an option that does not fit, or files that cannot be used; nothing is written then.
    """
    # Imported here: processes that measure the memory of a step import this module too.
    from DMAFTraining.benchmarking.scans_work import make_and_measure
    from DMAFTraining.inference.errors import InputError

    try:
        yield make_and_measure(options)
    except InputError as error:
        raise ValueError(f"{error} {error.hint}".rstrip()) from error
