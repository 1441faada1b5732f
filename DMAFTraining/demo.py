"""Segment a simulated patient from every combination of sequences and make a page to look at.

  python -m DMAFTraining.demo --output demo-output

Needs no data and no network: the patient is simulated on an average brain. In the output folder:
case/ (the images and the true tumor), results/ (one label map per combination), comparison.html
and comparison.png. Exit code: 0 done, 2 bad input, 3 cancelled.
Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.simulation.case import simulate_case
from DMAFTraining.data.simulation.contrast import SEQUENCES
from DMAFTraining.data.simulation.template import load_icbm152
from DMAFTraining.evaluation.content import Case, load_content
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.inference.job import Job
from DMAFTraining.inference.metadata import BundleError, BundleMetadata, read_metadata
from DMAFTraining.inference.runner import run_job
from DMAFTraining.predict import DEFAULT_BUNDLE

_SEED = 25  # a ring-enhancing tumor of about 70 mL with edema
_PACKAGES = ("matplotlib", "nilearn", "rich")
_SIMULATED, _SEGMENTED = 0.5, 0.8  # shares of the whole that are over after these steps


class Progress(Protocol):
    """Shows how far the demo is."""

    def at(self, fraction: float, message: str) -> None:
        """Show the finished fraction (0 to 1) and what is being done."""


class PlainLines:
    """One line for each thing that begins: for logs and pipes."""

    def __init__(self) -> None:
        self._last = ""

    def at(self, fraction: float, message: str) -> None:
        if message != self._last:
            print(f"{100 * fraction:3.0f} %  {message}", flush=True)
        self._last = message


class JobProgress:
    """Passes the progress of a segmentation job on as a part of the whole; warnings go to stderr."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def emit(self, event: str, **fields: Any) -> None:
        if event == "progress":
            self._progress.at(_SIMULATED + (_SEGMENTED - _SIMULATED) * fields["fraction"], fields["message"])
        elif event == "warning":
            print(f"Warning: {fields['message']}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        metadata = _check(options.bundle)
        with _bar() as progress:
            case = write_case(options.output / "case", options.spacing, progress)
            page = compare(case, options.output, options.bundle, metadata, progress)
    except (InputError, BundleError) as error:
        print(f"Error: {error} {getattr(error, 'hint', '')}".rstrip(), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Error: {error.filename or options.output} cannot be written ({error.strerror}).", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        return 3
    print(f"{RESEARCH_NOTICE} Simulated case.\nOpen this page in a browser:\n{page.resolve()}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m DMAFTraining.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder (default demo-output)")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="model file (default: the shipped one)")
    parser.add_argument("--spacing", type=_millimeters, default=1.0, help="voxel edge of the patient in mm (default 1)")
    return parser


def _millimeters(text: str) -> float:
    value = float(text)
    if not 0.5 <= value <= 4:
        raise argparse.ArgumentTypeError(f"{text} is not a voxel edge from 0.5 to 4 mm")
    return value


def _check(bundle: Path) -> BundleMetadata:
    """What can go wrong, found before the work begins."""
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"The demo needs {' and '.join(missing)}.", "Install them with: pip install 'DMAFTraining[demo]'"
        )
    metadata = read_metadata(bundle)
    if unknown := [m.title for m in metadata.modalities if m.name not in SEQUENCES]:
        raise InputError(
            f"The demo cannot simulate {unknown[0]}, which {bundle} works on.",
            "Give a brain tumor model with --bundle.",
        )
    return metadata


def _bar() -> AbstractContextManager[Progress]:
    """A live bar on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        return nullcontext(PlainLines())
    from DMAFTraining.evaluation.terminal import RichBar  # rich comes with the demo extra

    return RichBar()


def write_case(folder: Path, spacing: float, progress: Progress) -> Case:
    """Simulate the patient and write its images and truth, marked as simulated."""
    folder.mkdir(parents=True, exist_ok=True)
    progress.at(0.0, "Loading the average brain")
    anatomy = load_icbm152()
    progress.at(0.1, "Simulating a patient with a brain tumor")
    simulated = simulate_case(anatomy, np.random.default_rng(_SEED), spacing)
    i, j, k = simulated.labels.shape
    grid = Grid((i, j, k), simulated.affine)
    arrays: dict[str, NDArray[Any]] = {**simulated.images, "seg": simulated.labels}
    files = {}
    for name, array in arrays.items():
        image = to_image(array, grid)
        image.SetMetaData("ITK_FileNotes", "Simulated, not a patient. Research use only.")
        files[name] = folder / f"simulated_{name}.nii.gz"
        sitk.WriteImage(image, str(files[name]), useCompression=True)
    document = {"notice": RESEARCH_NOTICE, "simulated": True, "seed": _SEED, "spacing_mm": spacing, **simulated.info}
    (folder / "case.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return Case({name: files[name] for name in simulated.images}, files["seg"], simulated=True, background="flair")


def compare(case: Case, output: Path, bundle: Path, metadata: BundleMetadata, progress: Progress) -> Path:
    """Segment the case from every combination of sequences and write the report; returns its page."""
    from DMAFTraining.evaluation.report import write_report  # matplotlib comes with the demo extra

    results = output / "results"
    inputs = {name: case.images[name] for name in metadata.modalities.names}
    job = Job(bundle, inputs, results, subsets="all", overwrite=True, maps=_maps(metadata))
    run_job(job, JobProgress(progress), cancelled=lambda: False)
    progress.at(_SEGMENTED, "Drawing the comparison")
    page = write_report(load_content(results, metadata, case), output)
    progress.at(1.0, "Done")
    return page


def _maps(metadata: BundleMetadata) -> tuple[str, ...]:
    return ("contribution",) if metadata.network["name"] == "dmafnet" else ()


if __name__ == "__main__":
    sys.exit(main())
