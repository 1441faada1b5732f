"""The tables of a comparison page: volumes and changes, overlap and distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from DMAFTraining.evaluation.content import Content, truth_title
from DMAFTraining.evaluation.page_html import NOTHING, Cell, Line, number, share, table
from DMAFTraining.inference.case_comparison import Overlap, RegionNumbers
from DMAFTraining.inference.comparison import mean_dice

_FIRST = "Sequences"
_EMPTY = Cell("")
_WHY = {"this": "not found", "other": "not there", "both": "neither"}
"""What stands for a distance where there is none: the region is not in the result, the reference, or both."""

Column = Callable[[RegionNumbers], Cell]


def volume_table(content: Content) -> str:
    """Volumes, and how they differ from those of the base."""
    groups: dict[str, Column] = {
        "Volume (mL)": lambda numbers: number(numbers.volume_ml, ".1f"),
        f"Change to {content.comparison.base} (mL)": lambda numbers: number(numbers.change_ml, "+.1f"),
        "Change (%)": lambda numbers: number(numbers.change_percent, "+.0f"),
    }
    foot = []
    if content.truth is not None:
        volumes = [number(volume, ".1f") for volume in content.truth_volumes_ml.values()]
        foot = [Line(truth_title(content), [*volumes, *(2 * len(volumes) * [_EMPTY])])]
    return _table(content, "Table of volumes", groups, foot)


def overlap_table(content: Content) -> str:
    """Dice and HD95 to the base and to the truth, and the Dice that the model is known for."""
    base = content.comparison.base
    groups: dict[str, Column] = {
        f"Dice to {base}": lambda numbers: share(numbers.to_base.dice),
        f"HD95 to {base} (mm)": lambda numbers: _distance(numbers.to_base),
    }
    if content.truth is not None:
        groups |= {
            "Dice to truth": lambda numbers: share(numbers.to_truth.dice) if numbers.to_truth else _EMPTY,
            "HD95 to truth (mm)": lambda numbers: _distance(numbers.to_truth) if numbers.to_truth else _EMPTY,
        }
    return _table(content, "Table of overlap and distance", groups, [_means(content)], content.metadata.expected_dice)


def _distance(overlap: Overlap) -> Cell:
    return Cell(_WHY[overlap.empty]) if overlap.hd95_mm is None else number(overlap.hd95_mm, ".1f")


def _means(content: Content) -> Line:
    """Mean Dice over the combinations; distances have none where a region is missing."""
    names = [region.name for region in content.comparison.regions]
    rows = content.comparison.rows.values()
    tables = [[{name: row[name].to_base.dice for name in names} for row in rows]]
    if content.truth is not None:
        tables.append([{name: to.dice for name in names if (to := row[name].to_truth)} for row in rows])
    cells = [cell for each in tables for cell in ([*map(share, mean_dice(each).values())] + len(names) * [_EMPTY])]
    return Line("Mean", [*cells, *((len(names) if content.metadata.expected_dice else 0) * [_EMPTY])])


def _table(
    content: Content,
    label: str,
    groups: Mapping[str, Column],
    foot: Sequence[Line],
    expected: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    names = [region.name for region in content.comparison.regions]
    heads = [(title, names) for title in groups] + ([("Expected Dice", names)] if expected else [])
    lines = []
    for subset, row in content.comparison.rows.items():
        cells = [column(row[name]) for column in groups.values() for name in names]
        known = (expected or {}).get(str(subset), {})
        cells += [share(known.get(name)) for name in names] if expected else []
        lines.append(Line(str(subset), cells))
    return table(label, _FIRST, heads, lines, foot)


def number_notes(content: Content) -> tuple[str, ...]:
    """How to read the tables."""
    notes = [
        "HD95 is the larger of the 95th percentiles of the distances from the surface of one segmentation to that of "
        f"the other, in both directions; it tells how far they are apart at their worst places. Where a region is "
        f"missing there is no distance: '{_WHY['this']}' in this result, '{_WHY['other']}' in what it is compared "
        f"with, '{_WHY['both']}' in both, where Dice counts as 1. {NOTHING}: not known.",
    ]
    if content.truth is not None:
        origin = "the simulated tumor" if content.case.simulated else "the reference segmentation that was given"
        notes.append(f"Truth is {origin}.")
    if content.metadata.expected_dice:
        source = content.metadata.expected_dice_source or "the cases it was tested on"
        notes.append(f"Expected Dice is the mean of the model over {source}; this patient's may be quite different.")
    return tuple(notes)
