"""Segment a patient from whatever sequences exist.

  python -m DMAFTraining.predict --t1 T1.nii.gz --flair FLAIR.nii.gz --output result
  python -m DMAFTraining.predict --case BraTS2021_00000 --subsets all --output result
  python -m DMAFTraining.predict --case patient --subsets T1+FLAIR,T2 --output result
  python -m DMAFTraining.predict --t1 T1.nii.gz --maps entropy --output result
  python -m DMAFTraining.predict --case patient --subsets all --maps agreement contribution --compare --output out

Scans as they come from the scanner, with skull and on grids of their own, in files or in a folder of DICOM series; what
they need is found out, done and told, and each step can be switched off or forced:

  python -m DMAFTraining.predict --case DICOM_FOLDER --native all --output result
  python -m DMAFTraining.predict --t1ce T1CE_FOLDER --flair FLAIR.nii.gz --brain-mask brain.nii.gz --output result
  python -m DMAFTraining.predict --case patient --registration off --brain off --output result

Results: one label map per combination of sequences on the grid of the reference image, and
provenance.json; of scans that were moved, also the transforms. As a worker (used by the Slicer
module): --job job.json prints JSON lines, reads "cancel" on standard input. Exit code: 0 done,
1 error, 2 bad input, 3 canceled.
Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from DMAFTraining import __version__
from DMAFTraining.inference.errors import Cancelled, InputError
from DMAFTraining.inference.events import EventSink, JsonLines, TerminalLines
from DMAFTraining.inference.heap import keep_freed_memory
from DMAFTraining.inference.job import MAPS, PROTOCOL, Job, read_job
from DMAFTraining.inference.metadata import BundleError, read_metadata
from DMAFTraining.inference.scans.cache_folder import default_cache
from DMAFTraining.inference.scans.options import BrainChoice, RegistrationChoice, ScanOptions
from DMAFTraining.modalities import ModalitySet

if TYPE_CHECKING:
    from DMAFTraining.inference.scans.reading import Source

DEFAULT_BUNDLE = Path(__file__).resolve().parent.parent / "Resources" / "Models" / "brats-unet-2mm.safetensors"
_ORPHAN_SECONDS = 5.0  # how long a worker may take to stop by itself once its parent is gone


def main(arguments: list[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    first, _ = _common_parser(add_help=False).parse_known_args(arguments)
    if first.devices:
        return _print_devices()
    if first.job:
        cancel = _cancel_on_stdin()
        with JsonLines(sys.stdout) as sink:
            sink.emit("hello", protocol=PROTOCOL, pid=os.getpid(), versions=_versions())
            return _run(lambda: read_job(first.job), sink, cancel)
    terminal = TerminalLines(sys.stdout)
    try:
        modalities = read_metadata(first.bundle).modalities
    except BundleError as error:
        terminal.emit("error", message=str(error))
        return 2
    parser = _full_parser(modalities)
    options = parser.parse_args(arguments)
    try:
        return _run(lambda: _job_from_options(options, modalities), terminal, threading.Event())
    except KeyboardInterrupt:
        print("\nCancelled; nothing was written.", file=sys.stderr)
        return 3


def _run(make_job: Callable[[], Job], sink: EventSink, cancel: threading.Event) -> int:
    try:
        keep_freed_memory()
        job = make_job()
        from DMAFTraining.inference.runner import run_job  # torch takes seconds: the heartbeat has begun

        run_job(job, sink, cancel.is_set)
    except Cancelled:
        return 3
    except (InputError, BundleError) as error:
        kind = getattr(error, "kind", "bundle")
        sink.emit("error", kind=kind, message=str(error), hint=getattr(error, "hint", ""))
        return 2
    except MemoryError:
        sink.emit("error", kind="memory", message="The computer ran out of memory.", hint="Close other programs.")
        return 1
    except Exception as error:  # the worker's last word: the log gets the trace, the user a sentence
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        sink.emit("error", kind="internal", message=f"The program failed ({text}).", hint="Please report the log.")
        return 1
    return 0


def _cancel_on_stdin() -> threading.Event:
    """An event that a line ``cancel``, or the end of standard input, sets.

    The end of standard input means that the parent is gone. Nobody is left then to end a worker that does not come
    to its next step, so it ends itself.
    """
    cancel = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == "cancel":
                cancel.set()
        cancel.set()
        time.sleep(_ORPHAN_SECONDS)
        os._exit(3)

    threading.Thread(target=listen, daemon=True).start()
    return cancel


def _versions() -> dict[str, str | None]:
    """What the worker runs on, found without importing any of it."""
    found: dict[str, str | None] = {
        "DMAFTraining": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for name in ("torch", "numpy", "SimpleITK", "safetensors"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _print_devices() -> int:
    try:
        from DMAFTraining.inference.devices import describe_devices

        document = describe_devices()
    except (ImportError, OSError) as error:  # OSError: a library of torch is damaged
        document = {"schema": PROTOCOL, "devices": [], "problem": f"PyTorch cannot be loaded ({error})."}
    print(json.dumps(document))
    return 0 if document["devices"] else 1


def _common_parser(add_help: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="DMAFTraining.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=add_help,
        allow_abbrev=False,
    )
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="model file (default: the shipped one)")
    parser.add_argument("--job", type=Path, help="job file; run as a worker that prints JSON lines")
    parser.add_argument("--devices", action="store_true", help="list where models can run, as JSON, and end")
    return parser


def _full_parser(modalities: ModalitySet) -> argparse.ArgumentParser:
    parser = _common_parser(add_help=True)
    for modality in modalities:
        text = f"{modality.title} image: a file, or a folder with one DICOM series"
        parser.add_argument(f"--{modality.name}", type=Path, metavar="IMAGE", help=text)
    parser.add_argument(
        "--case",
        type=Path,
        metavar="FOLDER",
        help="folder of a patient: files whose names end like the sequences, or DICOM series, also in sub-folders",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="result folder")
    parser.add_argument("--subsets", default="full", help="full (default), all, or a list such as T1+FLAIR,T2")
    parser.add_argument(
        "--reference",
        choices=modalities.names,
        help="whose grid results are on, and which does not move (default: the first; if scans have to be aligned, that"
        " of the fullest resolution)",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")
    parser.add_argument("--extension", default=".nii.gz", choices=(".nii.gz", ".nrrd"), help="format of label maps")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"), help="numbers to compute in")
    parser.add_argument(
        "--maps",
        nargs="+",
        default=[],
        choices=MAPS,
        help="also write, from 0 to 1 each: entropy, where the model is undecided; contribution, the weight of each"
        " sequence in the fusion; and agreement, how many of the combinations show a region",
    )
    parser.add_argument("--compare", action="store_true", help="also write comparison.json, all numbers of the report")
    parser.add_argument("--overwrite", action="store_true", help="replace results in the folder")
    _add_scan_options(parser)
    return parser


def _add_scan_options(parser: argparse.ArgumentParser) -> None:
    scans = parser.add_argument_group("raw scans", "each step is done where it is needed, and told")
    scans.add_argument(
        "--registration",
        default="auto",
        choices=get_args(RegistrationChoice),
        help="align scans with the reference: auto (default) those that do not lie on it yet, on all, off none",
    )
    scans.add_argument(
        "--brain",
        default="auto",
        choices=[choice for choice in get_args(BrainChoice) if choice != "mask"],
        help="cut out the brain: auto (default) where a whole head is found; off; or force a tool",
    )
    scans.add_argument("--brain-mask", type=Path, metavar="FILE", help="a brain mask (0 outside) instead of a tool")
    scans.add_argument("--bias-correction", action="store_true", help="even out slow changes of brightness (N4)")
    scans.add_argument(
        "--native",
        nargs="+",
        default=[],
        metavar="SEQUENCE",
        help="also write results on the grids of these sequences, or of all",
    )
    cache = scans.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="FOLDER",
        help="where transforms and brain masks are kept for the next run on the same scans, for 30 days"
        " (default: %(default)s)",
    )
    cache.add_argument("--no-cache", dest="cache", action="store_const", const=None, help="keep nothing")


def _job_from_options(options: argparse.Namespace, modalities: ModalitySet) -> Job:
    inputs: dict[str, Source] = find_in_folder(options.case, modalities) if options.case else {}
    inputs |= {name: getattr(options, name) for name in modalities.names if getattr(options, name)}
    subsets = options.subsets
    if subsets not in ("full", "all"):
        try:
            subsets = [list(modalities.parse(text).names) for text in subsets.split(",")]
        except ValueError as error:
            raise InputError(str(error)) from error
    return Job(
        options.bundle,
        inputs,
        options.output,
        subsets,
        options.reference,
        options.device,
        options.extension,
        options.overwrite,
        tuple(options.maps),
        options.precision,
        options.compare,
        _scan_options(options),
        tuple(inputs if options.native == ["all"] else options.native),
    )


def _scan_options(options: argparse.Namespace) -> ScanOptions:
    brain = options.brain
    if options.brain_mask and brain == "auto":
        brain = "mask"
    return ScanOptions(options.registration, brain, options.brain_mask, options.bias_correction, options.cache)


def find_in_folder(folder: Path, modalities: ModalitySet) -> dict[str, Source]:
    """Scans of a patient's folder by sequence; what was taken for what is printed.

    Raises:
        InputError: no such folder, no sequence in it, or one twice.
    """
    from DMAFTraining.inference.scans.reading import find_scans

    found, notes = find_scans(folder, modalities)
    for note in notes:
        print(note)
    return found


if __name__ == "__main__":
    sys.exit(main())
