"""The line under the selectors: what will be segmented from, and how good it can be expected to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from DMAFSegmentLib import tr as _
from DMAFTraining.inference.metadata import BundleMetadata, Region
from DMAFTraining.modalities import ModalitySet, Subset

_STRONG_LOSS = 0.10
"""A region whose expected Dice is this much lower than with all sequences is named."""


def summary(chosen: Iterable[str], metadata: BundleMetadata) -> str:
    """Which sequences (names) exist, which are missing, and what accuracy the model's own figures promise.

    >>> summary(["t1", "flair"], metadata)
    'T1 and FLAIR present; T1ce and T2 missing; expected whole tumor Dice 0.84 (simulated test cases).'
    """
    modalities = metadata.modalities
    names = [name for name in modalities.names if name in set(chosen)]
    if not names:
        every = _listed([m.title for m in modalities])
        return _("No sequence chosen yet. Any of {all} can be used.").format(all=every)
    subset = modalities.subset(names)
    row, full = expected_dice(metadata, subset), expected_dice(metadata, modalities.full()) or {}
    parts = [_presence(subset, modalities), _expected(metadata, row)]
    return " ".join(["; ".join(parts) + ".", *_losses(metadata, row or {}, full)])


def _presence(subset: Subset, modalities: ModalitySet) -> str:
    present = _listed([m.title for m in subset])
    missing = [m.title for m in modalities if m.name not in subset]
    if not missing:
        return _("All {count} sequences present: {present}").format(count=len(subset), present=present)
    return _("{present} present; {missing} missing").format(present=present, missing=_listed(missing))


def _expected(metadata: BundleMetadata, row: Mapping[str, float] | None) -> str:
    if not metadata.expected_dice:
        return _("expected accuracy unknown for this model")
    shown = next((region for region in metadata.regions if region.name in (row or {})), None)
    if row is None or shown is None:
        return _("expected accuracy unknown for this combination")
    text = _("expected {region} Dice {dice:.2f}").format(region=_in_sentence(shown), dice=row[shown.name])
    source = metadata.expected_dice_source
    return f"{text} ({source})" if source else text


def _losses(metadata: BundleMetadata, row: Mapping[str, float], full: Mapping[str, float]) -> list[str]:
    text = _("With all sequences the Dice of the {region} would be {full:.2f} in place of {dice:.2f}.")
    lost = [r for r in metadata.regions if full.get(r.name, 0.0) - row.get(r.name, 1.0) >= _STRONG_LOSS]
    return [text.format(region=_in_sentence(r), full=full[r.name], dice=row[r.name]) for r in lost]


def expected_dice(metadata: BundleMetadata, subset: Subset) -> Mapping[str, float] | None:
    """Expected Dice by region name; the table may spell a combination in any order, by title or by name."""
    for spelled, row in metadata.expected_dice.items():
        try:
            if metadata.modalities.parse(spelled) == subset:
                return row
        except ValueError:
            continue  # not a combination of this model's sequences
    return None


def _in_sentence(region: Region) -> str:
    """``Whole tumor`` -> ``whole tumor``; abbreviations such as ``LV scar`` stay."""
    title = region.title
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _listed(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    return _("{first} and {last}").format(first=", ".join(words[:-1]), last=words[-1])
