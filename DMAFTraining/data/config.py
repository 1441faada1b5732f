"""What a run is told about its data; every field is an option of the command line and of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from DMAFTraining.data.augmentation import NoAugmentation, PaperAugmentation, StandardAugmentation
from DMAFTraining.data.index import Background, Normalization
from DMAFTraining.data.missing import PUBLISHED_SEED, check_rates
from DMAFTraining.data.presence import Setting
from DMAFTraining.data.splits import SplitKind


@dataclass(frozen=True)
class DataConfig:
    """Training data.

    Attributes:
        root: folder of cases, case manifest, or store.
        store: where cases are kept once they are prepared; not needed if root is a store.
        validation: cases for validation; without it, the split's validation part.
        validation_store: where those are kept once they are prepared.
        split: published (BraTS 2020, MyoPS 2020), hash (any cohort, by patient), none (all train).
        setting: idt: each patient shows the same sequences in every epoch; pdt: all sequences exist
            and the fused path sees a random part; rates: hidden at random at each access.
        missing_rates: probability that each sequence is missing, in channel order; empty hides
            nothing.
        manifest: CSV file with what each patient shows (idt), instead of drawing it.
        manifest_seed: of a drawn manifest; 1037 gives the published tables.
        patch: size of training patches in voxels.
        foreground_share: share of patches around a labeled voxel.
        augmentation: NoAugmentation, PaperAugmentation or StandardAugmentation.
        in_memory: hold all cases in memory instead of mapping their files.
        workers: processes that read patches; 0 reads them in the training process.
        prepare_processes: processes that prepare cases; 0 means one per core.
        normalization: zscore-brain (as inference does) or zscore-shared (as published).
        background: zero, or shifted (as published).

    Raises:
        ValueError: a field outside its range, or two that contradict each other.
    """

    root: Path
    store: Path | None = None
    validation: Path | None = None
    validation_store: Path | None = None
    split: SplitKind = "none"
    setting: Setting = "idt"
    missing_rates: tuple[float, ...] = ()
    manifest: Path | None = None
    manifest_seed: int = PUBLISHED_SEED
    patch: tuple[int, ...] = (80, 80, 80)
    foreground_share: float = 0.5
    augmentation: StandardAugmentation | PaperAugmentation | NoAugmentation = field(
        default_factory=StandardAugmentation
    )
    in_memory: bool = False
    workers: int = 2
    prepare_processes: int = 0
    normalization: Normalization = "zscore-brain"
    background: Background = "zero"

    def __post_init__(self) -> None:
        if self.missing_rates:
            check_rates(self.missing_rates)
        if self.manifest and (self.setting != "idt" or self.missing_rates):
            raise ValueError("A manifest belongs to setting idt and stands in place of missing_rates.")
        if self.setting == "rates" and not self.missing_rates:
            raise ValueError("The setting 'rates' needs missing_rates.")
        if self.setting == "pdt" and self.missing_rates:
            raise ValueError("In the setting 'pdt' nothing is missing in training; leave out missing_rates.")
        if len(self.patch) not in (2, 3) or min(self.patch) < 1:
            raise ValueError(f"patch should be two or three sizes in voxels, not {self.patch}.")
        if not 0 <= self.foreground_share <= 1:
            raise ValueError(f"foreground_share should lie in [0, 1], not {self.foreground_share}.")
        if self.workers < 0 or self.prepare_processes < 0:
            raise ValueError("workers and prepare_processes should be 0 or more.")
