"""Which models can be chosen: bundles shipped with the extension and those the user added."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from DMAFSegmentLib import library_folders
from DMAFSegmentLib import tr as _
from DMAFTraining.inference.metadata import BundleError, BundleMetadata, read_metadata

BUNDLE_PATTERN = "*.safetensors"
FOLDER_VARIABLE = "DMAFSEGMENT_MODELS"


@dataclass(frozen=True)
class ModelEntry:
    """One bundle file; ``metadata`` is None when it cannot be used, and ``error`` then says why."""

    path: Path
    metadata: BundleMetadata | None
    error: str = ""

    @property
    def key(self) -> str:
        """What a saved scene remembers: name and version, or the file name of a broken bundle."""
        return f"{self.metadata.name} {self.metadata.version}" if self.metadata else self.path.name

    @property
    def title(self) -> str:
        """One line for the model list."""
        if self.metadata is None:
            return _("{file} (cannot be used)").format(file=self.path.name)
        return f"{self.metadata.title}, {self.metadata.version}"

    @property
    def description(self) -> str:
        """What a user should know before running the model: purpose, sequences, what it was trained on."""
        if self.metadata is None:
            return self.error
        lines = [self.metadata.description]
        if self.metadata.simulated_training:
            lines.append(_("It has learned from simulated data only: for trying the software out."))
        return "\n".join(lines)


def model_folders() -> list[Path]:
    """Folders searched, in order: environment variable, the user's own, then the shipped ones."""
    listed = [Path(part) for part in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if part]
    shipped = [folder / "Resources" / "Models" for folder in library_folders()]
    return [*listed, user_folder(), *shipped]


def user_folder() -> Path:
    """Folder for bundles the user added by hand; it need not exist."""
    return Path.home() / ".dmafsegment" / "models"


def find_models(folders: Iterable[Path]) -> list[ModelEntry]:
    """Every bundle in the folders, usable ones first; a model found twice is listed once."""
    entries: dict[str, ModelEntry] = {}
    for folder in folders:
        for path in sorted(folder.glob(BUNDLE_PATTERN)):
            entry = _read(path)
            entries.setdefault(entry.key, entry)
    return sorted(entries.values(), key=lambda entry: entry.metadata is None)


def _read(path: Path) -> ModelEntry:
    try:
        return ModelEntry(path, read_metadata(path))
    except BundleError as error:
        return ModelEntry(path, None, str(error))
