"""Model files in the user's folder: installing from a file, removing, and the cards beside them."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from DMAFSegmentLib import library_folders
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.catalogue import CATALOGUE_PATTERN, CatalogueEntry, file_stem, read_catalogue
from DMAFSegmentLib.models import ModelEntry
from DMAFTraining.inference.metadata import read_header, read_metadata

CARD_SUFFIX = ".md"
_MAX_CARD_BYTES = 2**20


class ModelFileError(ValueError):
    """A file that was not installed or removed; the message says why."""


def install_file(source: Path, folder: Path) -> Path:
    """Copy a model, with the card beside it, or a catalogue into ``folder``; there whole or not at all.

    Raises:
        BundleError, CatalogueError: the file is not what it should be.
        ModelFileError: it is cut off, or could not be copied.
    """
    if source.suffix == ".json":
        read_catalogue(source)
        ending = CATALOGUE_PATTERN.lstrip("*")
        name = source.name if source.name.endswith(ending) else f"{source.stem}.{ending}"
        return _copy(source, folder / name)
    metadata = read_metadata(source)
    missing = _missing_bytes(source)
    if missing > 0:
        text = _("{file} is cut off: {count} bytes are missing at its end. Get the file again.")
        raise ModelFileError(text.format(file=source, count=missing))
    target = folder / f"{file_stem(metadata.name, metadata.version)}.safetensors"
    card = source.with_suffix(CARD_SUFFIX)
    if card.is_file():
        _copy(card, target.with_suffix(CARD_SUFFIX))
    return _copy(source, target)


def check_installed(path: Path, offer: CatalogueEntry) -> None:
    """Is a downloaded file the model that the catalogue names? If not, it is removed.

    Raises:
        BundleError: no usable model file.
        ModelFileError: another model.
    """
    try:
        metadata = read_metadata(path)
        if (metadata.name, metadata.version) != (offer.name, offer.version):
            text = _("The downloaded file is {found}, not {wanted}. Tell whoever keeps the catalogue of models.")
            found = f"{metadata.name} {metadata.version}"
            raise ModelFileError(text.format(found=found, wanted=offer.key))
    except ValueError:
        path.unlink()
        raise
    if offer.card:
        card = path.with_suffix(CARD_SUFFIX)
        partial = card.with_name(card.name + ".part")
        partial.write_text(offer.card, encoding="utf-8")
        os.replace(partial, card)


def why_kept(path: Path, folder: Path) -> str:
    """Why a model cannot be removed; empty when it can: only what lies in the user's own ``folder``."""
    if path.parent == folder:
        return ""
    if is_shipped(path):
        return _("This model came with the extension: it goes when the extension is uninstalled.")
    return _("This model lies in {folder}, which this module does not manage.").format(folder=path.parent)


def is_shipped(path: Path) -> bool:
    """Did a model come with the extension?"""
    return path.parent in [root / "Resources" / "Models" for root in library_folders()]


def remove(path: Path, folder: Path) -> None:
    """Delete a model and its card.

    Raises:
        ModelFileError: it does not lie in ``folder``, or cannot be deleted.
    """
    reason = why_kept(path, folder)
    if reason:
        raise ModelFileError(reason)
    try:
        path.unlink(missing_ok=True)
        path.with_suffix(CARD_SUFFIX).unlink(missing_ok=True)
    except OSError as error:
        text = _("{file} could not be removed: {reason}. Close what uses it, and try again.")
        raise ModelFileError(text.format(file=path, reason=error.strerror)) from error


def disk_use(folder: Path) -> int:
    """Bytes of all files in a folder, unfinished downloads included; 0 when it does not exist."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def card_text(entry: ModelEntry | None, offer: CatalogueEntry | None) -> str:
    """Model card as Markdown: the file beside the bundle, else that of the catalogue, else what is known of it."""
    card = entry.path.with_suffix(CARD_SUFFIX) if entry is not None else None
    if card is not None and card.is_file() and card.stat().st_size <= _MAX_CARD_BYTES:
        return card.read_text(encoding="utf-8", errors="replace")
    if offer is not None:
        return offer.card or f"# {offer.title}\n\n{offer.description}\n"
    return f"# {entry.title}\n\n{entry.description}\n" if entry is not None else ""


def _missing_bytes(path: Path) -> int:
    """How much shorter a file is than the table of tensors in its header says."""
    header = read_header(path)
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return int(8 + length + max(ends, default=0) - path.stat().st_size)


def _copy(source: Path, target: Path) -> Path:
    """Copy beside the place first, flush, then rename."""
    partial = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(source):
            return target
        with source.open("rb") as reader, partial.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 2**20)
            writer.flush()
            os.fsync(writer.fileno())
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        text = _("{file} could not be copied to {folder}: {reason}.")
        raise ModelFileError(text.format(file=source, folder=target.parent, reason=error.strerror)) from error
    return target
