"""The rows of the list of models: what is here and what a catalogue offers, matched by name and version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.catalogue import CatalogueEntry
from DMAFSegmentLib.model_files import card_text, is_shipped, why_kept
from DMAFSegmentLib.models import ModelEntry


@dataclass(frozen=True)
class ModelRow:
    """One model: the file that is here (``entry``), what a catalogue says of it (``offer``), or both."""

    entry: ModelEntry | None
    offer: CatalogueEntry | None
    folder: Path

    @property
    def key(self) -> str:
        """Name and version."""
        return self.entry.key if self.entry is not None else self.offer.key if self.offer is not None else ""

    @property
    def title(self) -> str:
        """For people."""
        if self.entry is not None:
            return self.entry.title
        return f"{self.offer.title}, {self.offer.version}" if self.offer is not None else ""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        if self.entry is not None:
            return self.entry.path.stat().st_size if self.entry.path.is_file() else 0
        return self.offer.size if self.offer is not None else 0

    @property
    def state(self) -> str:
        """Where it is, in a word."""
        if self.entry is None:
            return _("to download")
        if self.entry.metadata is None:
            return _("not usable")
        if not why_kept(self.entry.path, self.folder):
            return _("installed")
        return _("shipped") if is_shipped(self.entry.path) else _("in another folder")

    @property
    def card(self) -> str:
        """Markdown: the facts in one line, then the model card."""
        facts = _facts(self.entry, self.offer)
        return (f"*{facts}*\n\n" if facts else "") + card_text(self.entry, self.offer)


def list_models(entries: Iterable[ModelEntry], offers: Iterable[CatalogueEntry], folder: Path) -> list[ModelRow]:
    """Rows of what is here, in their order, then of what can be downloaded. ``folder`` is the user's own."""
    known = {offer.key: offer for offer in offers}
    here = [ModelRow(entry, known.pop(entry.key, None), folder) for entry in entries]
    return here + [ModelRow(None, offer, folder) for offer in known.values() if offer.url]


def size_text(count: int) -> str:
    """A number of bytes for people."""
    return _("{count} MB").format(count=f"{count / 1e6:.1f}" if count < 1e8 else round(count / 1e6))


def _facts(entry: ModelEntry | None, offer: CatalogueEntry | None) -> str:
    """Sequences, labels, voxel size, license and time, as far as they are known."""
    metadata = entry.metadata if entry is not None else None
    if metadata is not None:
        spacing, terms = metadata.preprocessing.spacing, metadata.license
        sequences = [modality.title for modality in metadata.modalities]
        labels = [label.name for label in metadata.labels]
    elif offer is not None:
        sequences, labels, spacing, terms = list(offer.modalities), list(offer.labels), offer.spacing, offer.license
    else:
        return ""
    texts = [
        _("From {sequences}: {labels}").format(sequences=", ".join(sequences), labels=", ".join(labels)),
        _("voxels of {size} mm").format(size=" x ".join(f"{step:g}" for step in spacing)),
        _("license {license}").format(license=terms),
        *_times(offer.seconds if offer is not None else {}),
    ]
    return "; ".join(texts) + "."


def _times(seconds: dict[str, float]) -> list[str]:
    texts = {"cpu": _("about {count:g} s on a processor"), "gpu": _("about {count:g} s on a graphics card")}
    return [text.format(count=seconds[device]) for device, text in texts.items() if device in seconds]
