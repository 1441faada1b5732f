"""The verb ``store``: what it costs to read one training patch, from the store and from whole volumes."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DMAFTraining import RESEARCH_NOTICE

if TYPE_CHECKING:
    from DMAFTraining.benchmarking.reading_speed import WayFigures

_EXAMPLES = """examples:
  # on simulated brains, made on the spot
  python -m DMAFTraining.benchmark store

  # on your own cases and disk, other patches and rates
  python -m DMAFTraining.benchmark store --cohort MICCAI_BraTS2020_TrainingData --work /fast/disk/bench \\
      --patch 128 128 128 --missing-rates .5 .5 .2 .8

Every way reads the same patches, and all have to give the same voxels. Whole volumes are only read; in
training, z-score and cropping would come on top. Cold: before each patch the kernel is asked to drop the
files from its cache (Linux; a RAM disk keeps them). Warm: they are in the cache. MB: of the store, whole
memory pages; of the others, whole files.

"""


def add_store(commands: Any) -> None:
    """Register the verb at the subparsers of a command; ``run`` of its options does the work."""
    parser = commands.add_parser(
        "store",
        help="seconds and bytes per training patch, from the store and from whole volumes",
        description="Seconds and bytes per training patch, from the store and from whole volumes.\n" + RESEARCH_NOTICE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cohort", type=Path, help="folder of cases or case manifest (default: simulated brains)")
    parser.add_argument("--work", type=Path, help="folder to keep store and arrays in (default: a temporary one)")
    parser.add_argument(
        "--count", type=int, default=2, help="simulated cases (default 2; a minute or two each at 1 mm)"
    )
    parser.add_argument("--spacing", type=float, default=1.0, help="of simulated cases in mm (default 1)")
    parser.add_argument("--patch", type=int, nargs="+", default=[80, 80, 80], help="voxels (default 80 80 80)")
    parser.add_argument("--missing-rates", type=float, nargs="+", default=[0.2, 0.4, 0.6, 0.8], help="default 2468")
    parser.add_argument("--patches", type=int, default=16, help="different patches (default 16)")
    parser.add_argument("--rounds", type=int, default=3, help="times each is read each way (default 3)")
    parser.set_defaults(run=store_table)


def store_table(options: argparse.Namespace) -> Iterator[str]:
    """Prepare, check that every way gives the same patches, measure; yields the lines of a table.

    Raises:
        ValueError: an option that does not fit, or a way that gives other values.
    """
    # Imported here: processes that measure the memory of a step import this module too.
    from DMAFTraining.benchmarking.reading import FromArrays, FromFiles, FromStore
    from DMAFTraining.benchmarking.reading_speed import check_equal, draw_keys, measure, prepare_patch
    from DMAFTraining.data.opening import find_raw, open_or_prepare

    with _work_folder(options.work) as work:
        root = options.cohort or _simulate(work / "raw", options.count, options.spacing)
        store = open_or_prepare(root, work / "store")
        if len(options.patch) != store.spec.dims:
            raise ValueError(f"These cases have {store.spec.dims} axes; give --patch {store.spec.dims} numbers.")
        keys = draw_keys(store, options.patch, options.missing_rates, options.patches)
        files = FromFiles(store, {case.name: case for case in find_raw(root, store.spec).cases})
        arrays = FromArrays(store, work / "arrays", {key.case for key in keys})
        patches = FromStore(store)
        for key in keys:
            wanted = prepare_patch(store, files.source(key.case), key)
            for way in (patches, arrays):
                check_equal(way.read(key), wanted, f"{store.names[key.case]}, {way.title}")
        size, kind = "x".join(map(str, options.patch)), "simulated cases" if store.simulated else "cases"
        yield f"{len(keys)} patches of {size} voxels from {len(store)} {kind}, equal whichever way they are read.\n"
        yield from _lines([*measure((patches, arrays, files), keys, max(1, options.rounds))])


def _lines(figures: Sequence[WayFigures]) -> Iterator[str]:
    yield "| read | warm ms | cold ms | MB | times the store: warm | cold | MB |"
    yield "|---|---|---|---|---|---|---|"
    first = figures[0]
    for row in figures:
        yield (
            f"| {row.title} | {row.warm * 1e3:.1f} | {row.cold * 1e3:.1f} | {row.bytes / 2**20:.1f} | "
            f"{row.warm / first.warm:.1f} | {row.cold / first.cold:.1f} | {row.bytes / first.bytes:.1f} |"
        )


@contextmanager
def _work_folder(chosen: Path | None) -> Iterator[Path]:
    if chosen:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _simulate(folder: Path, count: int, spacing: float) -> Path:
    # The simulator is large, and only this function needs it.
    from DMAFTraining.data.simulated_cohort import write_cohort
    from DMAFTraining.data.simulation.writing import BrainRecipe

    write_cohort(BrainRecipe(spacing=spacing), count, folder)
    return folder
