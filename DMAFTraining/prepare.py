"""Make data ready for training: simulate cases, prepare real ones, draw what each patient may show.

python -m DMAFTraining.prepare simulate --count 20 --output cohort
python -m DMAFTraining.prepare brats --root BraTS2020 --output stores/brats2020
python -m DMAFTraining.prepare missing --store stores/brats2020 --rates .2 .4 .6 .8 --output mr2468.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.datasets import BRATS, DATASETS, MYOPS, MYOPS_PARTS, find_dataset
from DMAFTraining.data.index import Background, Normalization, Preparation
from DMAFTraining.data.manifest import write_manifest
from DMAFTraining.data.missing import PUBLISHED_SEED
from DMAFTraining.data.opening import find_raw
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.presence import patient_manifest
from DMAFTraining.data.progress import progress
from DMAFTraining.data.simulated_cohort import write_cohort
from DMAFTraining.data.splits import SplitKind, split_names
from DMAFTraining.data.store import PatchStore

_SIMULATE = """examples:
  # Ten cases on the ICBM 152 average brain: needs no other data
  python -m DMAFTraining.prepare simulate --count 10 --output demo

  # A training cohort on real anatomy and on real scans, 2 mm
  python -m DMAFTraining.prepare simulate --count 500 --seed 1 --split train \\
      --anatomies data/anatomies --backgrounds data/openms --output cohort

  # Heads of other people, with contrast, resolution and tumor shapes that training never shows
  python -m DMAFTraining.prepare simulate --count 24 --seed 2 --split validation --appearance shifted \\
      --anatomies data/anatomies --output validation-shifted

  # Hearts after a heart attack, in the files of MyoPS 2020
  python -m DMAFTraining.prepare simulate --anatomy heart --count 25 --output hearts

A brain is a folder <id> with <id>_t1.nii.gz, _t1ce, _flair, _t2 and _seg (1 necrotic core, 2 edema,
3 enhancing tumor): prepare it with the command brats. A heart has _C0 (bSSFP), _DE (LGE), _T2 and _gd: use
the command myops. cohort.json lists what was drawn, statistics.txt how the cohort compares, and
contact-sheet.png shows the first cases: look at it.
Run the same command again after an interruption: finished cases are kept; a larger --count adds cases. The
same settings give the same cases, whatever the number of processes.

"""
_STORE = """
A store holds one folder per case: each sequence cropped to the brain, z-scored, half precision, and
index.json. Training reads only the patches and sequences it needs. Every file is checked first:
whole, numbers only, one grid per case, known label values; all problems of all cases are listed at
once. Run the same command again after a repair or an interruption: finished cases are kept.
"""
_BRATS = f"""examples:
  # BraTS 2018, 2020, 2021, 2023, a simulated cohort, or MSD Task01: the layout is recognized
  python -m DMAFTraining.prepare brats --root MICCAI_BraTS2020_TrainingData --output stores/brats2020

  # intensities exactly as in the published experiments
  python -m DMAFTraining.prepare brats --root MICCAI_BraTS2020_TrainingData --output stores/brats2020-published \\
      --normalization zscore-shared --background shifted

Files are named <case>_<sequence>.nii.gz or .nii, with _ or -, in folders of any depth; t1ce, t1c, t1gd
and t1post mean the same, as do flair and t2f, t1 and t1n, t2 and t2w. A case may lack sequences.
Labels 0 1 2 4 and 0 1 2 3 are both understood. For anything else there is the command cases.
{_STORE}
"""
_MYOPS = f"""examples:
  # one class for the whole myocardium, as the paper describes
  python -m DMAFTraining.prepare myops --root MyoPS2020/train --output stores/myops

  # edema, scar and normal myocardium apart in training, merged when accuracy is computed
  python -m DMAFTraining.prepare myops --root MyoPS2020/train --output stores/myops-parts --merge evaluation

Files are named <patient>_C0.nii.gz (bSSFP), _DE (LGE), _T2 and _gd (labels), in folders of any depth. Every
slice becomes a case of 256 x 256 pixels about the center, <patient>_slice_<number>.
{_STORE}
"""
_CASES = f"""examples:
  python -m DMAFTraining.prepare cases --manifest cases.csv --dataset brats --output stores/hospital

cases.csv, paths relative to it, an empty cell for a missing sequence:
  case,t1,t1ce,flair,t2,labels
  p001,p001/T1.nii.gz,,p001/FLAIR.nii.gz,p001/T2.nii.gz,p001/tumor.nii.gz
  p002,p002/T1.nii.gz,p002/T1c.nii.gz,,,p002/tumor.nii.gz

cases.json is a list of objects with the same keys. Images are brain-extracted, the files of a case lie on
one grid, and all cases have one voxel size.
{_STORE}
"""
_MISSING = """examples:
  # the published table mr2468: the digits are the rates of T1, T1ce, FLAIR, T2
  python -m DMAFTraining.prepare missing --store stores/brats2020 --split published \\
      --rates .2 .4 .6 .8 --output mr2468.csv

  # the rates of bSSFP, LGE, T2
  python -m DMAFTraining.prepare missing --store stores/myops --split published --rates .3 .5 .7 --output 357.csv

The file has a row of 0 and 1 per patient of the training part. From the 219 BraTS 2020 training names, seed
1037 gives the published tables row by row. Training draws the same table itself when it is told rates only.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 bad input)."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command to go on.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m DMAFTraining.prepare", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, title: str, examples: str) -> argparse.ArgumentParser:
        text = f"{title}\n{RESEARCH_NOTICE}"
        return commands.add_parser(name, help=title, description=text, epilog=examples, formatter_class=raw)

    _add_simulate(command("simulate", "Make simulated brain tumor cases with known truth.", _SIMULATE))
    _add_brats(command("brats", "Prepare a folder of BraTS cases (or simulated ones) for training.", _BRATS))
    _add_myops(command("myops", "Prepare the MyoPS 2020 training patients, slice by slice.", _MYOPS))
    _add_cases(command("cases", "Prepare cases that a CSV or JSON file describes.", _CASES))
    _add_missing(command("missing", "Draw which sequences each training patient may show.", _MISSING))
    return parser


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_simulate)
    parser.add_argument("--anatomy", choices=["brain", "heart"], default="brain", help="of what (default brain)")
    parser.add_argument("--count", type=_positive_int, required=True, help="how many cases")
    parser.add_argument("--seed", type=int, default=0, help="names the cohort; another seed, other cases (default 0)")
    parser.add_argument("--output", type=Path, required=True, help="folder to make or to go on with")
    parser.add_argument("--processes", type=_positive_int, help="how many work at once (default: one per core)")
    parser.add_argument(
        "--spacing",
        type=float,
        help="of brains the voxel edge (default 2), of hearts the side of a pixel (default drawn for each), in mm",
    )
    brains = parser.add_argument_group("brains only")
    brains.add_argument("--anatomies", type=Path, help="folder of FreeSurfer-style label maps *_01.nii.gz and on")
    brains.add_argument("--backgrounds", type=Path, help="folder of real brain-extracted scans (patient07, ...)")
    brains.add_argument("--split", choices=["train", "validation", "test"], help="whose anatomy (default train)")
    brains.add_argument(
        "--appearance",
        choices=["training", "shifted"],
        help="shifted: contrast, resolution and tumor shape outside of the ranges of training, for validation and test",
    )


def _add_brats(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: _prepare(options, options.root, BRATS.name))
    parser.add_argument("--root", type=Path, required=True, help="folder of the cases")
    _add_store_options(parser)


def _add_myops(parser: argparse.ArgumentParser) -> None:
    datasets = {"training": MYOPS.name, "evaluation": MYOPS_PARTS.name}
    parser.set_defaults(run=lambda options: _prepare(options, options.root, datasets[options.merge]))
    parser.add_argument("--root", type=Path, required=True, help="folder of the patients")
    parser.add_argument(
        "--merge",
        choices=list(datasets),
        default="training",
        help="when edema, scar and normal myocardium become one class (default training)",
    )
    _add_store_options(parser)


def _add_cases(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=lambda options: _prepare(options, options.manifest, options.dataset))
    parser.add_argument("--manifest", type=Path, required=True, help="CSV or JSON file, one row per case")
    parser.add_argument("--dataset", choices=list(DATASETS), required=True, help="sequences and labels of the cases")
    _add_store_options(parser)


def _add_store_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="the store: a folder to make or to go on with")
    parser.add_argument(
        "--normalization",
        choices=get_args(Normalization),
        default="zscore-brain",
        help="brain voxels that mean and deviation come from: each sequence's own (default, as prediction does),"
        " or where the sum of all is positive (as published)",
    )
    parser.add_argument(
        "--background",
        choices=get_args(Background),
        default="zero",
        help="value outside the brain: zero (default), or what zero becomes under the z-score (as published)",
    )
    parser.add_argument("--processes", type=_positive_int, help="how many work at once (default: one per core)")


def _add_missing(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_draw_missing)
    parser.add_argument("--store", type=Path, required=True, help="prepared cases")
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="missing rate of each sequence, in order")
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--seed", type=int, default=PUBLISHED_SEED, help="of the draw (default 1037, the published)")
    parser.add_argument(
        "--split", choices=get_args(SplitKind), default="none", help="whose training part (default none: all cases)"
    )


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _prepare(options: argparse.Namespace, root: Path, dataset: str) -> None:
    cohort = find_raw(root, find_dataset(dataset))
    preparation = Preparation(options.normalization, options.background)
    with progress("Preparing") as report:
        store = prepare_store(cohort, options.output, preparation, options.processes, report)
    print(_summary(store))


def _summary(store: PatchStore) -> str:
    """What a store holds, for people."""
    seen = zip(store.spec.modalities, store.available.sum(axis=0), strict=True)
    counts = ", ".join(f"{modality.title} {count}" for modality, count in seen)
    voxels = np.sum([case.voxels for case in store.cases], axis=0)
    shares = zip(store.spec.labels, 100 * voxels[1:] / voxels.sum(), strict=True)
    labels = ", ".join(f"{label.name} {share:.2g} %" for label, share in shares)
    size = sum(file.stat().st_size for case in store.names for file in (store.path / case).iterdir())
    return (
        f"{len(store)} cases in {store.path} ({size / 2**20:.0f} MiB): {counts}.\n"
        f"Voxels {' x '.join(f'{step:g}' for step in store.spacing)} mm; {labels}."
    )


def _draw_missing(options: argparse.Namespace) -> None:
    store = PatchStore.open(options.store)
    modalities = store.spec.modalities
    if len(options.rates) != len(modalities):
        wanted = ", ".join(m.title for m in modalities)
        raise ValueError(f"{len(options.rates)} rates were given; this store needs {len(modalities)}: {wanted}.")
    training = store.select(split_names(store.names, options.split).train)
    patients = sorted(set(training.patients))
    if not patients:
        raise ValueError(f"The split {options.split!r} leaves no training case of {options.store}.")
    rows = dict(zip(training.patients, patient_manifest(training, options.rates, options.seed), strict=True))
    table = np.array([rows[patient] for patient in patients])
    write_manifest(options.output, patients, modalities, table)
    counts = ", ".join(f"{m.title} {n}" for m, n in zip(modalities, table.sum(axis=0), strict=True))
    print(f"{len(patients)} patients in {options.output}; present: {counts}.")


def _simulate(options: argparse.Namespace) -> None:
    # The simulator is large, and no other command needs it.
    from DMAFTraining.data.simulation.writing import BrainRecipe, HeartRecipe

    names = ("spacing", "split", "anatomies", "backgrounds", "appearance")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    of_brains = [f"--{name}" for name in given if name != "spacing"]
    if options.anatomy == "heart" and of_brains:
        raise ValueError(f"{', '.join(of_brains)} is for brains only; hearts are drawn from formulas.")
    recipe = HeartRecipe(options.seed, **given) if options.anatomy == "heart" else BrainRecipe(options.seed, **given)
    print(write_cohort(recipe, options.count, options.output, options.processes))


if __name__ == "__main__":
    sys.exit(main())
