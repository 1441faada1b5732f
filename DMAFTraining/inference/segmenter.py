"""Segment one patient from any subset of sequences: the Python API.

segmenter = Segmenter("Resources/Models/brats-unet-2mm.safetensors")
case = segmenter.prepare({"t1": "T1.nii.gz", "flair": "FLAIR.nii.gz"})
for result in segmenter.segment(case, subsets="all"):
    print(result.subset, result.volumes_ml)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from DMAFTraining.inference.bundle import load_bundle
from DMAFTraining.inference.comparison import region_dice, region_volumes
from DMAFTraining.inference.engine import Engine, OnWarning
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.maps import normalized_entropy
from DMAFTraining.inference.precision import choose_precision
from DMAFTraining.inference.preprocessing import PreparedCase, prepare_case
from DMAFTraining.inference.resampling import resample
from DMAFTraining.inference.scans.native import GridMaps, maps_on_grid
from DMAFTraining.inference.scans.reading import Scan, Source, read_scan
from DMAFTraining.inference.slices import segment_slices
from DMAFTraining.modalities import Subset

Image = str | Source | Volume
"""An image of a sequence, as it may be given."""

_SEGMENTED = 0.98  # share of the work that is done when the last subset still has to be given out


@dataclass(frozen=True)
class SubsetResult:
    """Segmentation from one subset.

    Attributes:
        subset: the sequences that were used.
        labels: ``(I, J, K)`` uint8 on the reference image's own grid.
        volumes_ml: volume of each region in mL.
        dice_to_fullest: Dice of each region to the result of the fullest subset of the same call.
        entropy: where the model is undecided, ``(I, J, K)``, see
            :func:`~DMAFTraining.inference.maps.normalized_entropy`; 0 outside the brain; None unless asked for.
        native: labels, and entropy if asked for, on the grids of further sequences, by name.
    """

    subset: Subset
    labels: NDArray[np.uint8]
    volumes_ml: dict[str, float]
    dice_to_fullest: dict[str, float]
    entropy: NDArray[np.float32] | None = None
    native: dict[str, GridMaps] = field(default_factory=dict)


class Segmenter:
    """A loaded model.

    Args:
        bundle: path of the ``.safetensors`` bundle.
        device: ``"auto"`` (CUDA if there is one, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        precision: what the network computes in, ``"auto"``, ``"fp32"`` or ``"bf16"``; see
            :func:`~DMAFTraining.inference.precision.choose_precision`.

    Attributes:
        precision: the one chosen, ``"fp32"`` or ``"bf16"``.

    Raises:
        BundleError: the bundle cannot be used.
        InputError: the device does not exist, or does not have the precision.
    """

    def __init__(self, bundle: str | Path, device: str = "auto", precision: str = "auto") -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.bundle = load_bundle(Path(bundle), self.device)
        self.metadata = self.bundle.metadata

    def read(self, inputs: Mapping[str, Image], on_warning: OnWarning | None = None) -> dict[str, Volume]:
        """Volumes of the given images, by sequence.

        Args:
            inputs: file, folder with one DICOM series, series, or :class:`Volume` of each sequence that exists.
            on_warning: told what had to be put right in an image; default a Python warning.

        Raises:
            InputError: an unknown sequence, the same image twice, or one that cannot be used.
        """
        on_warning = on_warning or (lambda _, message: warnings.warn(message, RuntimeWarning, stacklevel=2))
        places = [_place(image) for image in inputs.values() if not isinstance(image, Volume)]
        for name, image in inputs.items():
            if name not in self.metadata.modalities.names:
                known = ", ".join(self.metadata.modalities.names)
                raise InputError(f"This model does not know the sequence {name!r}.", f"It knows {known}.")
            if not isinstance(image, Volume) and places.count(_place(image)) > 1:
                raise InputError(
                    f"{_place(image)[0]} was given for two sequences.", "Give each sequence its own image."
                )
        volumes = {}
        for name, image in inputs.items():
            scan = Scan(image) if isinstance(image, Volume) else read_scan(_source(image))
            volumes[name] = scan.volume
            for code, message in scan.warnings:
                on_warning(code, message)
        return volumes

    def prepare(self, inputs: Mapping[str, Image], reference: str | None = None) -> PreparedCase:
        """Read and bring the images onto the model's working grid, as they lie.

        Raw scans need :func:`~DMAFTraining.inference.scans.pipeline.prepare_scans` in between.

        Args:
            inputs: see :meth:`read`.
            reference: sequence whose grid receives the results; default the first that exists.

        Raises:
            InputError: see :meth:`read`; also images that do not overlap.
        """
        volumes = self.read(inputs)
        return prepare_case(volumes, self.metadata.modalities, self.metadata.preprocessing, reference)

    def subsets(self, wanted: str | Sequence[Sequence[str]], available: Subset) -> list[Subset]:
        """The requested subsets, the fullest first.

        Args:
            wanted: ``"full"`` (all that is available), ``"all"`` (every subset of it), or names.
            available: the sequences that exist.

        Raises:
            InputError: a subset asks for a sequence that was not given.
        """
        modalities = self.metadata.modalities
        if wanted == "full":
            return [available]
        if isinstance(wanted, str) and wanted != "all":
            raise InputError(f"Subsets should be 'all', 'full' or a list, not {wanted!r}.")
        try:
            listed = modalities.subsets(available) if wanted == "all" else [modalities.subset(s) for s in wanted]
        except ValueError as error:
            raise InputError(str(error)) from error
        for subset in listed:
            if not subset <= available:
                raise InputError(f"{subset} was asked for, but only {available} was given.", "Give the missing image.")
        return sorted(dict.fromkeys(listed), key=len, reverse=True)

    def segment(
        self,
        case: PreparedCase,
        subsets: str | Sequence[Sequence[str]] = "full",
        on_progress: Callable[[float], None] | None = None,
        with_entropy: bool = False,
        on_warning: OnWarning | None = None,
        native: Mapping[str, Grid] | None = None,
    ) -> Iterator[SubsetResult]:
        """Segment a prepared case from each subset, the fullest first, each as soon as it is finished.

        Args:
            case: from :meth:`prepare`.
            subsets: see :meth:`subsets`.
            on_progress: told the finished fraction (0 to 1); raising in it stops the work.
            with_entropy: also map where the model is undecided.
            on_warning: told when memory runs out and the work goes on more modestly; default a Python warning.
            native: further grids that get results, by sequence, each as it lies on the reference.

        Raises:
            OutOfMemoryError: not even the smallest piece of work fits in memory.
        """
        rows = self.subsets(subsets, case.available)
        fullest: NDArray[np.uint8] | None = None
        for subset, classes in self._working_probabilities(case, rows, on_progress, on_warning):
            labels = labels_on_native_grid(classes, case)
            fullest = labels if fullest is None else fullest
            regions = self.metadata.regions
            volumes = region_volumes(labels, regions, case.native.voxel_ml)
            entropy = entropy_on_native_grid(classes, case) if with_entropy else None
            others = {name: maps_on_grid(classes, case.grid, at, with_entropy) for name, at in (native or {}).items()}
            yield SubsetResult(subset, labels, volumes, region_dice(labels, fullest, regions), entropy, others)

    def probabilities(
        self, case: PreparedCase, subsets: str | Sequence[Sequence[str]] = "full"
    ) -> Iterator[tuple[Subset, torch.Tensor]]:
        """Class probabilities from each subset, the fullest first, each as soon as it is finished.

        Their :func:`most_probable` class is what :meth:`segment` gives.

        Args:
            case: from :meth:`prepare`.
            subsets: see :meth:`subsets`.

        Yields:
            The subset and ``(K, *part)`` on the part ``case.native_box`` of the reference grid. Where no
            sequence of the subset shows brain all classes are 0, and next to it their sum is below 1.
        """
        rows = self.subsets(subsets, case.available)
        for subset, classes in self._working_probabilities(case, rows):
            yield subset, on_native_part(classes, case)

    def _working_probabilities(
        self,
        case: PreparedCase,
        rows: Sequence[Subset],
        on_progress: Callable[[float], None] | None = None,
        on_warning: OnWarning | None = None,
    ) -> Iterator[tuple[Subset, torch.Tensor]]:
        """Each subset with its class probabilities ``(K, *working)``, all 0 outside its brain."""
        if on_progress:
            on_progress(0.0)
        window = self.metadata.window
        engine = Engine(self.bundle.network, self.device, self.precision, on_warning=on_warning)
        run = partial(segment_slices, engine) if self.metadata.preprocessing.slice_size else engine.probabilities
        probabilities = run(
            torch.from_numpy(case.images),
            [self.metadata.modalities.flags(subset) for subset in rows],
            window.patch,
            window.overlap,
            [self.metadata.temperature_of(subset) for subset in rows],
            (lambda fraction: on_progress(_SEGMENTED * fraction)) if on_progress else None,
        )
        for subset, classes in zip(rows, probabilities, strict=True):
            yield subset, classes * self._brain(case, subset).to(classes.device)
        if on_progress:
            on_progress(1.0)

    def _brain(self, case: PreparedCase, subset: Subset) -> torch.Tensor:
        """1 where any sequence of the subset shows brain, on the working grid; 0 leaves background."""
        rows = [self.metadata.modalities.index(name) for name in subset.names]
        return torch.from_numpy((case.images[rows] != 0).any(axis=0))


def _source(image: str | Source) -> Source:
    return Path(image) if isinstance(image, str) else image


def _place(image: str | Source) -> tuple[str, str]:
    """Folder or file, and of a DICOM series which one: the same for two names of one image."""
    source = _source(image)
    return (str(source.resolve()), "") if isinstance(source, Path) else (str(source.folder.resolve()), source.uid)


def labels_on_native_grid(probabilities: torch.Tensor, case: PreparedCase) -> NDArray[np.uint8]:
    """Most probable label per voxel of the reference grid ``(I, J, K)``, from ``(K, *working)``.

    Probabilities, not labels, are interpolated. Where all of them are 0, as outside the working
    grid, the label is background.
    """
    labels = np.zeros(case.native.size, np.uint8)
    labels[tuple(slice(start, stop) for start, stop in case.native_box)] = most_probable(
        on_native_part(probabilities, case)
    )
    return labels


def entropy_on_native_grid(probabilities: torch.Tensor, case: PreparedCase) -> NDArray[np.float32]:
    """Normalized entropy per voxel of the reference grid ``(I, J, K)``, from ``(K, *working)``; 0 outside it."""
    entropy = np.zeros(case.native.size, np.float32)
    entropy[tuple(slice(start, stop) for start, stop in case.native_box)] = normalized_entropy(
        on_native_part(probabilities, case)
    )
    return entropy


def most_probable(probabilities: torch.Tensor) -> NDArray[np.uint8]:
    """Label ``(*S)`` of the highest of the probabilities ``(K, *S)``; background where all are 0."""
    # argmax gives the same, several times slower along a first dimension.
    labels: NDArray[np.uint8] = probabilities.max(dim=0).indices.to(torch.uint8).cpu().numpy()
    return labels


def on_native_part(probabilities: torch.Tensor, case: PreparedCase) -> torch.Tensor:
    """Probabilities ``(K, *working)`` interpolated to the part ``case.native_box`` of the reference grid."""
    box = case.native_box
    matrix = case.native.ijk_to_ras.copy()
    matrix[:3, 3] = matrix[:3, :3] @ [start for start, _ in box] + matrix[:3, 3]
    part = Grid((box[0][1] - box[0][0], box[1][1] - box[1][0], box[2][1] - box[2][0]), matrix)
    return resample(probabilities, case.grid, part)


def choose_device(name: str) -> torch.device:
    """The torch device of a user's choice.

    Raises:
        InputError: it does not exist on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device {name!r} cannot be used on this computer.", "Choose auto or cpu.") from error
    return device
