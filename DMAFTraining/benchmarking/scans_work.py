"""The raw-like test from its options to its folder."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.benchmarking.scans_case import CleanCase, read_case
from DMAFTraining.benchmarking.scans_document import Truth
from DMAFTraining.benchmarking.scans_head import make_head, read_head
from DMAFTraining.benchmarking.scans_measure import carry_labels
from DMAFTraining.benchmarking.scans_protocols import Protocol, choose_protocols
from DMAFTraining.benchmarking.scans_raw import RawScan, RawSettings, make_raw
from DMAFTraining.benchmarking.scans_report import as_markdown
from DMAFTraining.benchmarking.scans_variants import Outcome, Variant, as_known, plan_variants, run_variant
from DMAFTraining.data.progress import progress
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.inference.metadata import read_metadata
from DMAFTraining.inference.reference_choice import choose_reference
from DMAFTraining.predict import DEFAULT_BUNDLE


def make_and_measure(options: argparse.Namespace) -> str:
    """Make the scans, run every variant, measure; returns the report, which is in the output folder too.

    The folder appears when everything is done.

    Raises:
        ValueError: the folder exists, or an option or a file does not fit.
    """
    bundle = options.bundle or DEFAULT_BUNDLE
    metadata = read_metadata(bundle)
    case = read_case(options.case, metadata.modalities, [label.value for label in metadata.labels])
    protocols = choose_protocols(options.grid, list(case.images), metadata.modalities)
    settings = _settings(options, protocols)
    reference = choose_reference({name: p.spacing for name, p in protocols.items()}, metadata.modalities)
    with _new_folder(options.output) as folder:
        scans = _make(options, case, settings)
        files = _write_scans(folder, case, scans, reference)
        truth = Truth(case, scans, reference, metadata.regions)
        variants = plan_variants(case.files, files, reference, folder / "cache")
        document = {
            "notice": RESEARCH_NOTICE,
            "case": case.name,
            "model": f"{metadata.name} {metadata.version}",
            "head": options.head.name,
            "seed": options.seed,
            "noise": options.noise,
            "reference": reference,
            "regions": [region.name for region in metadata.regions],
            "scans": truth.describe_scans(),
            "interpolation_alone": truth.interpolation_alone(),
            "runs": _run(variants, truth, bundle, folder / "results", options.device),
        }
        report = as_markdown(document)
        (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(report, encoding="utf-8")
        shutil.rmtree(folder / "cache", ignore_errors=True)
    return report


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder that gets its name when all is done, and is gone if anything fails."""
    if path.exists():
        raise ValueError(f"{path} exists already; give a new folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        os.replace(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(options: argparse.Namespace, protocols: Mapping[str, Protocol]) -> RawSettings:
    if min(options.shift, options.angle, options.tilt, options.noise) < 0:
        raise ValueError("Give --shift, --angle, --tilt and --noise numbers from 0 on.")
    if strangers := [name for name in options.still if name not in protocols]:
        raise ValueError(f"--still: the case has no sequence {strangers[0]}, only {', '.join(protocols)}.")
    return RawSettings(protocols, tuple(options.still), options.shift, options.angle, options.tilt, options.noise)


def _make(options: argparse.Namespace, case: CleanCase, settings: RawSettings) -> dict[str, RawScan]:
    rng = np.random.default_rng(options.seed)
    with progress("Making the scans") as report:
        head = make_head(read_head(options.head), case.brain, case.grid, rng)
        report(1, 2)
        scans = make_raw(case, head, settings, rng)
        report(2, 2)
    return scans


def _run(
    variants: Sequence[Variant], truth: Truth, bundle: Path, results: Path, device: str
) -> dict[str, dict[str, Any]]:
    """Figures of every variant; the first is the clean case, which the others are compared with."""
    outcomes: list[Outcome] = []
    for variant in variants:
        print(f"{variant.title}:", file=sys.stderr, flush=True)
        outcomes.append(run_variant(variant, bundle, results, device))
    clean, *others = outcomes
    judged = [truth.judge_clean(clean), *(truth.judge(outcome, clean) for outcome in others)]
    return {v.name: {"title": v.title, **figures} for v, figures in zip(variants, judged, strict=True)}


def _write_scans(
    folder: Path, case: CleanCase, scans: Mapping[str, RawScan], reference: str
) -> dict[str, dict[str, Path]]:
    """Write the scans in their three states, and the truth; returns the files by state and sequence."""
    states = {
        "raw": {name: scan.volume for name, scan in scans.items()},
        "stripped": {name: scan.stripped for name, scan in scans.items()},
        "aligned": as_known(scans, reference),
    }
    files: dict[str, dict[str, Path]] = {}
    for state, volumes in states.items():
        files[state] = {name: folder / state / f"{case.name}_{name}.nii.gz" for name in volumes}
        for name, volume in volumes.items():
            _write(files[state][name], volume.array.astype(np.int16), volume.grid)
    motions = {name: scan.motion.tolist() for name, scan in scans.items()}
    for name, scan in scans.items():
        _write(folder / "truth" / f"brain_{name}.nii.gz", scan.brain.astype(np.uint8), scan.volume.grid)
        if case.labels is not None:
            carried = carry_labels(case.labels, case.grid, scan.grid_in_case)
            _write(folder / "truth" / f"seg_{name}.nii.gz", carried, scan.volume.grid)
    (folder / "truth" / "motions.json").write_text(json.dumps(motions, indent=1) + "\n", encoding="utf-8")
    return files


def _write(path: Path, array: NDArray[Any], grid: Grid) -> None:
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(to_image(array, grid), str(path), useCompression=True)
