"""The comparison in plain words: what would have been seen without a sequence, and what another could add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from DMAFTraining.inference.case_comparison import Comparison, RegionNumbers
from DMAFTraining.inference.metadata import BundleMetadata, Region
from DMAFTraining.modalities import Modality

_SMALL_PERCENT, _GOOD_DICE = 5.0, 0.9  # what counts as hardly changed: less than this, at least that


def summary_sentences(comparison: Comparison) -> tuple[str, ...]:
    """What would have been seen without each sequence, and which one matters most; in plain words."""
    lacking = [(modality, comparison.without(modality.name)) for modality in comparison.base]
    without = [
        _without(modality, comparison, comparison.rows[subset]) for modality, subset in lacking if subset is not None
    ]
    return (*without, *_most_important(comparison))


def _without(modality: Modality, comparison: Comparison, row: Mapping[str, RegionNumbers]) -> str:
    shown = [r for r in comparison.regions if row[r.name].to_base.empty != "both"]
    if not shown:
        return f"Without {modality.title} the model would have found nothing, as with it."
    if all(_hardly_changed(row[region.name]) for region in shown):
        lowest = min(row[region.name].to_base.dice for region in shown)
        return (
            f"Without {modality.title} little would have changed: every volume by less than {_SMALL_PERCENT:.0f} %, "
            f"overlap (Dice) at least {_floor(lowest)}."
        )
    changes = "; ".join(_change(region, row[region.name]) for region in shown)
    return f"Without {modality.title}: {changes}."


def _hardly_changed(numbers: RegionNumbers) -> bool:
    percent = numbers.change_percent
    return percent is not None and abs(percent) < _SMALL_PERCENT and numbers.to_base.dice >= _GOOD_DICE


def _change(region: Region, numbers: RegionNumbers) -> str:
    name = f"the {region.title.lower()}"
    if _hardly_changed(numbers):
        return f"{name} would hardly have changed"
    if numbers.to_base.empty == "this":
        return f"{name} would not have been found ({-numbers.change_ml:.1f} mL)"
    if numbers.change_percent is None:
        return f"{name} would have been found where it is not with it ({numbers.change_ml:.1f} mL)"
    size = "larger" if numbers.change_ml > 0 else "smaller"
    return (
        f"{name} would have been {abs(numbers.change_ml):.1f} mL ({abs(numbers.change_percent):.0f} %) {size}, "
        f"overlap (Dice) {numbers.to_base.dice:.2f}"
    )


def _floor(dice: float) -> str:
    """Two decimals, never more than the value, as the sentence says at least."""
    return f"{int(dice * 100 + 1e-9) / 100:.2f}"


def _most_important(comparison: Comparison) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    titles = {modality.name: modality.title for modality in comparison.players}
    for region in comparison.regions:
        values = comparison.attributions["dice"][region.name].shapley
        if values and len(values) > 1:
            most = max(values, key=lambda name: values[name])
            found.setdefault(titles[most], []).append(f"the {region.title.lower()} ({values[most]:.2f})")
    if found:
        listed = "; ".join(f"{title} for {' and '.join(regions)}" for title, regions in found.items())
        yield f"Over all combinations the sequence that adds most to the overlap (Shapley value of Dice): {listed}."


def addition_sentences(comparison: Comparison, metadata: BundleMetadata) -> tuple[str, ...]:
    """What each sequence that the patient lacks could add, from the accuracy the model is known for."""
    given = comparison.players
    lacking = [modality for modality in metadata.modalities if modality.name not in given]
    return tuple(_addition(modality, comparison, metadata) for modality in lacking)


def _addition(modality: Modality, comparison: Comparison, metadata: BundleMetadata) -> str:
    fuller = metadata.modalities.subset([*comparison.players.names, modality.name])
    before, after = (metadata.expected_dice.get(str(subset)) for subset in (comparison.players, fuller))
    begin = f"This patient has no {modality.title}. What it would add cannot be seen in images that lack it"
    if before is None or after is None:
        return f"{begin}, and the model comes without expected accuracies."
    changes = ", ".join(
        f"{region.title.lower()} {before[region.name]:.2f} to {after[region.name]:.2f}"
        for region in comparison.regions
        if region.name in before and region.name in after
    )
    source = metadata.expected_dice_source or "the cases it was tested on"
    return f"{begin}; on {source}, adding it to {comparison.players} changed the mean Dice of the model: {changes}."
