"""Programs that find the brain in the image of a head: deepbet and HD-BET, whichever is installed.

deepbet: Fisch et al., Computers in Biology and Medicine 179 (2024), for T1-weighted images of healthy adults.
HD-BET: Isensee et al., Human Brain Mapping 40 (2019), for T1, T1 after contrast, T2 and FLAIR with tumors.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Volume, to_image
from DMAFTraining.inference.scans.aside import run_aside

_INSTALL = (
    "Install deepbet (pip install 'DMAFTraining[strip]'), give a brain mask (--brain-mask), "
    "or switch brain extraction off (--brain off) if the images show the brain alone."
)
_DEEPBET_SECONDS = 10.0
_HD_BET_SECONDS = {"cuda": 20.0, "cpu": 300.0}


class BrainTool(Protocol):
    """Finds the brain in the image of a head."""

    @property
    def name(self) -> str:
        """As the user chooses it."""

    @property
    def version(self) -> str:
        """For the provenance."""

    def __call__(self, volume: Volume, on_progress: Callable[[float], None]) -> NDArray[np.bool_]:
        """Brain mask ``(I, J, K)`` on the grid of ``volume``.

        Args:
            volume: image of a head with skull, in any orientation.
            on_progress: told 0..1; raising in it ends the work at once.

        Raises:
            InputError: the tool failed, or found no brain.
        """


@dataclass(frozen=True)
class Deepbet:
    """deepbet, from its Python package."""

    version: str
    name: str = "deepbet"

    def __call__(self, volume: Volume, on_progress: Callable[[float], None]) -> NDArray[np.bool_]:
        """See :class:`BrainTool`; about 10 s and 1.2 GB on a processor."""
        with tempfile.TemporaryDirectory() as folder:
            scan, mask = Path(folder) / "scan.nii", Path(folder) / "mask.nii"
            orientation = _write_ras(volume, scan)
            worker = [sys.executable, "-m", "DMAFTraining.inference.scans.brain_worker", str(scan), str(mask)]
            run_aside(self.name, worker, Path(folder), on_progress, _DEEPBET_SECONDS)
            return _read_mask(mask, orientation, volume, self.name)


@dataclass(frozen=True)
class HdBet:
    """HD-BET 2, from its command ``hd-bet``."""

    version: str
    command: str
    name: str = "hd-bet"

    def __call__(self, volume: Volume, on_progress: Callable[[float], None]) -> NDArray[np.bool_]:
        """See :class:`BrainTool`; on a graphics card where there is one, else minutes on the processor."""
        device = "cuda" if shutil.which("nvidia-smi") else "cpu"
        with tempfile.TemporaryDirectory() as folder:
            scan, brain = Path(folder) / "scan.nii.gz", Path(folder) / "brain.nii.gz"
            orientation = _write_ras(volume, scan)
            options = ["-i", str(scan), "-o", str(brain), "-device", device, "--save_bet_mask", "--no_bet_image"]
            mirroring = [] if device == "cuda" else ["--disable_tta"]
            command = [self.command, *options, *mirroring]
            run_aside(self.name, command, Path(folder), on_progress, _HD_BET_SECONDS[device])
            return _read_mask(Path(folder) / "brain_bet.nii.gz", orientation, volume, self.name)


def installed_tools() -> tuple[str, ...]:
    """Names of the tools that can be used here, the preferred one first; nothing of them is imported."""
    return tuple(name for name, find in _FINDERS.items() if not isinstance(find(), InputError))


def find_tool(choice: str) -> BrainTool:
    """The tool of this name; for "auto" the first that is installed.

    Raises:
        InputError: there is no such tool, or it is not ready to be used; the hint says what to do.
    """
    if choice == "auto":
        choice = next(iter(installed_tools()), "")
        if not choice:
            raise InputError("The images show the whole head, and no brain extraction is installed.", _INSTALL)
    if choice not in _FINDERS:
        raise InputError(f"Unknown brain extraction {choice!r}.", f"Choose one of {', '.join(_FINDERS)}.")
    found = _FINDERS[choice]()
    if isinstance(found, InputError):
        raise found
    return found


def _find_deepbet() -> BrainTool | InputError:
    try:
        return Deepbet(importlib.metadata.version("deepbet"))
    except importlib.metadata.PackageNotFoundError:
        return InputError("deepbet is not installed.", _INSTALL)


def _find_hd_bet() -> BrainTool | InputError:
    beside_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = shutil.which("hd-bet", path=beside_python)
    if command is None:
        return InputError("HD-BET is not installed.", _INSTALL)
    # Without them HD-BET 2 downloads its weights; nothing here reaches for the network.
    weights = Path.home() / "hd-bet_params" / "release_2.0.0" / "fold_all" / "checkpoint_final.pth"
    if not weights.is_file():
        return InputError(
            f"HD-BET is installed, but its weights are not at {weights}.",
            "Run hd-bet once by itself: it fetches them.",
        )
    try:
        version = importlib.metadata.version("HD-BET")
    except importlib.metadata.PackageNotFoundError:  # the command lives in another environment
        version = "2"
    return HdBet(version, command)


_FINDERS: dict[str, Callable[[], BrainTool | InputError]] = {"deepbet": _find_deepbet, "hd-bet": _find_hd_bet}


def _write_ras(volume: Volume, path: Path) -> str:
    """Write an image with its axes turned to run right, anterior, superior; returns its own orientation.

    The tools were trained on heads that stand upright in the array.
    """
    image = to_image(volume.array, volume.grid)
    sitk.WriteImage(sitk.DICOMOrient(image, "RAS"), str(path))
    return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection()))


def _read_mask(path: Path, orientation: str, volume: Volume, tool: str) -> NDArray[np.bool_]:
    """Read the mask of a written image back onto the grid of the volume."""
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), orientation)
    except RuntimeError as error:
        raise InputError(f"{tool} wrote no brain mask.", "Give a brain mask, or choose another tool.") from error
    mask = sitk.GetArrayFromImage(image).transpose(2, 1, 0) > 0
    if mask.shape != volume.grid.size:
        raise InputError(f"{tool} wrote a mask of another size than the image.", "Choose another tool.")
    if not mask.any():
        raise InputError(f"{tool} found no brain in {volume.source or 'the image'}.", "Give a brain mask.")
    return mask
