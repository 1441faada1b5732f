"""The table of contents of a store: ``index.json`` and the record of each case in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from DMAFTraining.data.datasets import DatasetSpec, find_dataset
from DMAFTraining.data.files import write_atomically

INDEX_FILE = "index.json"
_SCHEMA = "dmaf-store"
_VERSION = 1

Normalization = Literal["zscore-brain", "zscore-shared"]
Background = Literal["zero", "shifted"]


@dataclass(frozen=True)
class Preparation:
    """How intensities are prepared.

    Attributes:
        normalization: ``zscore-brain``: each sequence by its own non-zero voxels, as inference does;
            ``zscore-shared``: all by the voxels where their sum is positive, as published.
        background: ``zero``, or ``shifted``: what 0 becomes under the z-score, as published.
    """

    normalization: Normalization = "zscore-brain"
    background: Background = "zero"


@dataclass(frozen=True)
class CaseRecord:
    """One case of a store.

    Attributes:
        name: its folder.
        patient: whom it shows; time points and slices of one person share it.
        shape: voxels of every array.
        spacing: voxel size of the source in mm, three numbers (a slice keeps its thickness).
        available: names of the sequences that exist.
        background: value of the background of each of these.
        voxels: number of voxels of each label value, background first.
        box: first and last-plus-one voxel in the source, along R, A, S for volumes (along the
            axes of the file for slices); outside the source where a slice was padded.
        sha256: of the files in the folder.
    """

    name: str
    patient: str
    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    available: tuple[str, ...]
    background: tuple[float, ...]
    voxels: tuple[int, ...]
    box: tuple[tuple[int, int], ...]
    sha256: str


@dataclass(frozen=True)
class StoreIndex:
    """What a store holds.

    Attributes:
        spec: the data set.
        spacing: voxel size in mm, one number per axis; of slices, the median of the patients.
        preparation: how intensities were prepared.
        simulated: the cases were made by ``prepare simulate``.
        source: folder or manifest the cases came from.
        fingerprint: changes when a source file is added, removed or written.
        cases: by name.
    """

    spec: DatasetSpec
    spacing: tuple[float, ...]
    preparation: Preparation
    simulated: bool
    source: str
    fingerprint: str
    cases: tuple[CaseRecord, ...]

    @property
    def sha256(self) -> str:
        """Names the content of all cases: equal for equal stores, wherever they lie."""
        text = "\n".join(f"{case.name} {case.sha256}" for case in self.cases)
        return hashlib.sha256(text.encode()).hexdigest()


def write_index(store: Path, index: StoreIndex) -> None:
    """Write ``index.json``; with it the store is complete."""
    document = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "dataset": index.spec.name,
        "modalities": [{"name": m.name, "title": m.title} for m in index.spec.modalities],
        "classes": ["Background", *(label.name for label in index.spec.labels)],
        "spacing": index.spacing,
        **asdict(index.preparation),
        "simulated": index.simulated,
        "source": index.source,
        "fingerprint": index.fingerprint,
        "cases": [asdict(case) for case in index.cases],
    }
    write_atomically(store / INDEX_FILE, json.dumps(document, indent=1).encode())


def read_index(store: Path) -> StoreIndex:
    """Read ``index.json``.

    Raises:
        ValueError: the folder is no store, is not finished, or was written in another format.
    """
    path = store / INDEX_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{store} is not a finished store (it has no {INDEX_FILE}); run prepare on it.") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); run prepare again.") from error
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise ValueError(f"{path} is not the index of a store; give the folder that prepare wrote.")
    if document.get("version") != _VERSION:
        raise ValueError(f"{path} has format version {document.get('version')!r}, not {_VERSION}; run prepare again.")
    try:
        return _index(document)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged (near {error}); run prepare again.") from error


def case_record(document: Mapping[str, Any]) -> CaseRecord:
    """A record from JSON, where tuples are lists."""
    return CaseRecord(
        name=document["name"],
        patient=document["patient"],
        shape=tuple(document["shape"]),
        spacing=tuple(document["spacing"]),
        available=tuple(document["available"]),
        background=tuple(document["background"]),
        voxels=tuple(document["voxels"]),
        box=tuple((low, high) for low, high in document["box"]),
        sha256=document["sha256"],
    )


def _index(document: Mapping[str, Any]) -> StoreIndex:
    spec = find_dataset(document["dataset"])
    if tuple(m["name"] for m in document["modalities"]) != spec.modalities.names:
        raise ValueError(f"The store's sequences are not those of the data set {spec.name!r}; run prepare again.")
    return StoreIndex(
        spec=spec,
        spacing=tuple(document["spacing"]),
        preparation=Preparation(document["normalization"], document["background"]),
        simulated=bool(document["simulated"]),
        source=document["source"],
        fingerprint=document["fingerprint"],
        cases=tuple(case_record(case) for case in document["cases"]),
    )
