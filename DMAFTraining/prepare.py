"""Make data ready for training: ``python -m DMAFTraining.prepare simulate --count 20 --output cohort``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.simulation.anatomy import SPLITS, Anatomy, list_anatomies, load_label_map
from DMAFTraining.data.simulation.background import load_backgrounds
from DMAFTraining.data.simulation.case import SimulatedCase
from DMAFTraining.data.simulation.cohort import Cohort
from DMAFTraining.data.simulation.sheet import write_sheet
from DMAFTraining.data.simulation.template import load_icbm152
from DMAFTraining.inference.geometry import Grid, to_image

_SHEET_ROWS = 12
_EXAMPLES = """examples:
  # Ten cases on the ICBM 152 average brain: needs no other data
  python -m DMAFTraining.prepare simulate --count 10 --output demo

  # A training cohort on real anatomy and on real scans, 2 mm
  python -m DMAFTraining.prepare simulate --count 500 --seed 1 --split train \\
      --anatomies data/anatomies --backgrounds data/openms --output cohort

Each case is a folder <id> with <id>_t1.nii.gz, _t1ce, _flair, _t2 and _seg (1 necrotic core, 2 edema,
3 enhancing tumor). cohort.json lists what was drawn; contact-sheet.png shows the first cases: look at it.
The same seed, folders and spacing give the same cases.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 bad input)."""
    options = _parser().parse_args(arguments)
    try:
        _simulate(options)
    except (ValueError, FileExistsError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    shape: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(prog="python -m DMAFTraining.prepare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    simulate = commands.add_parser(
        "simulate",
        help="make simulated brain tumor cases",
        description="Make simulated brain tumor cases with known truth.\n" + RESEARCH_NOTICE,
        epilog=_EXAMPLES,
        **shape,
    )
    simulate.add_argument("--count", type=_positive_int, required=True, help="how many cases")
    simulate.add_argument("--seed", type=int, default=0, help="names the cohort; another seed, other cases (default 0)")
    simulate.add_argument("--output", type=Path, required=True, help="folder to make; must not hold files already")
    simulate.add_argument("--anatomies", type=Path, help="folder of FreeSurfer-style label maps *_01.nii.gz and on")
    simulate.add_argument("--backgrounds", type=Path, help="folder of real brain-extracted scans (patient07, ...)")
    simulate.add_argument("--spacing", type=float, default=2.0, help="voxel edge in mm (default 2)")
    simulate.add_argument("--split", choices=list(SPLITS), default="train", help="whose anatomy (default train)")
    return parser


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _simulate(options: argparse.Namespace) -> None:
    if options.output.exists() and any(options.output.iterdir()):
        raise FileExistsError(f"{options.output} holds files already; give a new folder.")
    cohort = Cohort(
        _anatomies(options.anatomies, options.split),
        _backgrounds(options.backgrounds, options.split),
        options.seed,
    )
    options.output.mkdir(parents=True, exist_ok=True)
    shown: list[SimulatedCase] = []
    records: list[dict[str, Any]] = []
    for index in _progress(range(options.count), "Simulating"):
        case = cohort.case(index, options.spacing)
        write_case(case, options.output)
        records.append({"id": case.name, **case.info})
        if len(shown) < _SHEET_ROWS:
            shown.append(case)
    (options.output / "cohort.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    write_sheet(shown, options.output / "contact-sheet.png")
    print(f"{options.count} cases in {options.output}; look at contact-sheet.png. {RESEARCH_NOTICE}")


def _anatomies(folder: Path | None, split: str) -> list[Anatomy]:
    if folder is None:
        return [load_icbm152()]
    return [load_label_map(path) for path in _progress(list_anatomies(folder, split), "Reading anatomy")]


def _backgrounds(folder: Path | None, split: str) -> list[Any]:
    """Real scans serve training only: the few people must not be in two splits."""
    if folder is None:
        return []
    if split != "train":
        raise ValueError(f"Real backgrounds belong to the train split; leave out --backgrounds with --split {split}.")
    return list(load_backgrounds(folder))


def write_case(case: SimulatedCase, folder: Path) -> Path:
    """Write a case as ``<folder>/<name>/<name>_{t1,t1ce,flair,t2,seg}.nii.gz``; returns its folder."""
    place = folder / case.name
    place.mkdir(parents=True)
    i, j, k = case.labels.shape
    grid = Grid((i, j, k), case.affine)
    arrays: dict[str, NDArray[Any]] = {**case.images, "seg": case.labels}
    for name, array in arrays.items():
        sitk.WriteImage(to_image(array, grid), str(place / f"{case.name}_{name}.nii.gz"))
    return place


def _progress(items: Iterable[Any], title: str) -> Iterator[Any]:
    """The items, with a bar on a terminal and plain lines elsewhere."""
    wanted = list(items)
    if sys.stdout.isatty():
        track = _rich_track()
        if track is not None:
            yield from track(wanted, description=title)
            return
    start = time.monotonic()
    for number, item in enumerate(wanted, 1):
        yield item
        if number == len(wanted) or number % 10 == 0:
            print(f"{title} {number}/{len(wanted)}, {time.monotonic() - start:.0f} s", flush=True)


def _rich_track() -> Callable[..., Iterable[Any]] | None:
    try:
        from rich.progress import track
    except ImportError:  # rich comes with the train extra; plain lines do without it
        return None
    return track


if __name__ == "__main__":
    sys.exit(main())
