"""Lists of models that exist, installed or not: ``*catalogue.json`` files in the model folders.

The format is described by ``Resources/Models/catalogue.schema.json``. A catalogue tells where a model can be
downloaded and what the file must be (size, SHA-256), so whoever writes it vouches for the models in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DMAFSegmentLib import library_folders
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.download import allowed
from DMAFSegmentLib.schema import problems
from DMAFTraining.inference.metadata import read_metadata, sha256_file

CATALOGUE_PATTERN = "*catalogue.json"
SCHEMA_VERSION = 1
_SCHEMA_FILE = "catalogue.schema.json"
_MAX_BYTES = 4 * 2**20


class CatalogueError(ValueError):
    """A catalogue that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class CatalogueEntry:
    """One model: what it is, and the file it is in.

    ``spacing`` is in mm, ``size`` in bytes; ``seconds`` maps a device (``cpu``, ``gpu``) to the time of one
    segmentation. Without ``url`` the model is shipped or installed from a file. ``card`` is Markdown text;
    without it the card is the file beside the bundle.
    """

    name: str
    version: str
    title: str
    description: str
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    spacing: tuple[float, ...]
    license: str
    simulated_training: bool
    size: int
    sha256: str
    url: str
    seconds: dict[str, float]
    card: str

    @property
    def key(self) -> str:
        """Name and version, as :attr:`DMAFSegmentLib.models.ModelEntry.key`."""
        return f"{self.name} {self.version}"


def read_catalogue(path: Path) -> list[CatalogueEntry]:
    """Models of a catalogue file.

    Raises:
        CatalogueError: it cannot be read, does not fit the schema, or lists a model twice.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(_("it is too large for a catalogue"))
        document = json.loads(path.read_text(encoding="utf-8"))
        wrong = problems(document, load_schema()) or _inconsistent(document["models"])
        if wrong:
            raise ValueError("; ".join(wrong))
    except OSError as error:
        raise CatalogueError(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)) from error
    except ValueError as error:
        text = _("{path} is not a usable catalogue of models: {reason}.")
        raise CatalogueError(text.format(path=path, reason=error)) from error
    return [_entry(model) for model in document["models"]]


def find_catalogues(folders: Iterable[Path]) -> tuple[list[CatalogueEntry], list[str]]:
    """Models of every catalogue in the folders, the first of a name and version, and what is wrong with the others."""
    found: dict[str, CatalogueEntry] = {}
    wrong: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob(CATALOGUE_PATTERN)):
            try:
                for entry in read_catalogue(path):
                    found.setdefault(entry.key, entry)
            except CatalogueError as error:
                wrong.append(str(error))
    return list(found.values()), wrong


def load_schema() -> dict[str, Any]:
    """The JSON Schema of a catalogue.

    Raises:
        OSError: it is missing from the installation.
    """
    known = [folder / "Resources" / "Models" / _SCHEMA_FILE for folder in library_folders()]
    path = next((path for path in known if path.is_file()), known[-1])
    return dict(json.loads(path.read_text(encoding="utf-8")))


def describe_bundle(path: Path, url: str = "", seconds: dict[str, float] | None = None, card: str = "") -> dict:
    """The catalogue entry of a model file, with everything that the file itself tells.

    Raises:
        BundleError: no usable bundle.
    """
    metadata = read_metadata(path)
    optional = {"url": url, "seconds": seconds, "card": card}
    return {
        "name": metadata.name,
        "version": metadata.version,
        "title": metadata.title,
        "description": metadata.description,
        "modalities": [modality.title for modality in metadata.modalities],
        "labels": [label.name for label in metadata.labels],
        "spacing": list(metadata.preprocessing.spacing),
        "license": metadata.license,
        "simulated_training": metadata.simulated_training,
        "size": path.stat().st_size,
        "sha256": sha256_file(path),
        **{key: value for key, value in optional.items() if value},
    }


def file_stem(name: str, version: str) -> str:
    """File name, without ending, of a model the user installed; safe on every system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-{version}").strip(".-") or "model"


def _inconsistent(models: list[dict[str, Any]]) -> list[str]:
    keys = [f"{model['name']} {model['version']}" for model in models]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    wrong = [_("{model} is listed twice").format(model=key) for key in twice]
    unsafe = [model["url"] for model in models if model.get("url") and not allowed(model["url"])]
    return wrong + [_("{url} is not an https address").format(url=url) for url in unsafe]


def _entry(model: dict[str, Any]) -> CatalogueEntry:
    lists = {key: tuple(model[key]) for key in ("modalities", "labels", "spacing")}
    optional: dict[str, Any] = {"url": "", "seconds": {}, "card": ""}
    return CatalogueEntry(**{**optional, **model, **lists})
