"""Which sequence matters: the bars and their numbers."""

from __future__ import annotations

from html import escape

from DMAFTraining.evaluation.content import Content
from DMAFTraining.evaluation.page_html import Cell, Line, figure_url, items, number, table
from DMAFTraining.evaluation.plots.attribution import TITLES, draw_attribution
from DMAFTraining.inference.case_comparison import Attribution, Measure

_FORMS: dict[Measure, str] = {"dice": "+.3f", "volume_ml": "+.1f"}
_LEAVE_ONE_OUT, _SHAPLEY = "without it", "Shapley"


def attribution_body(content: Content) -> str:
    """Bars, numbers and how to read them; only the reason where nothing can be said."""
    comparison = content.comparison
    found = [each for regions in comparison.attributions.values() for each in regions.values()]
    notes = list(dict.fromkeys(each.note for each in found if each.note))
    if not any(each.leave_one_out for each in found):
        return items(notes)
    alt = "Bars of what each sequence contributes to Dice and volume of each region; the table below has the numbers"
    chart = f'<div class="chart"><img src="{figure_url(draw_attribution(comparison))}" alt="{escape(alt)}"></div>\n'
    return items([*_reading(content), *notes]) + chart + _table(content)


def _reading(content: Content) -> tuple[str, ...]:
    reference = "the truth" if content.truth is not None else f"the result of {content.comparison.base}"
    return (
        f"'{_LEAVE_ONE_OUT.capitalize()}' is the value from all sequences less the value from all but this one: what "
        "would be lost if it alone were missing. It is small where another sequence can stand in.",
        "The Shapley value is the mean of what a sequence adds over every order in which the sequences could come, "
        "from nothing at all (value 0) to all of them; the values add up to the value from all. It shares the result "
        "fairly between sequences that can stand in for each other.",
        f"Dice is to {reference}; volume says how much is found, not whether it is right. Both are about this "
        "patient and this model, not about the worth of a sequence in general.",
    )


def _table(content: Content) -> str:
    comparison = content.comparison
    heads, columns = [], []
    for measure, regions in comparison.attributions.items():
        for name, attribution in regions.items():
            heads.append((f"{TITLES[measure]}, {name}", (_LEAVE_ONE_OUT, _SHAPLEY)))
            columns.append((attribution, _FORMS[measure]))
    lines = [
        Line(modality.title, [cell for column in columns for cell in _cells(*column, modality.name)])
        for modality in comparison.players
    ]
    return table("Table of contributions", "Sequence", heads, lines)


def _cells(attribution: Attribution, form: str, name: str) -> tuple[Cell, Cell]:
    return number(attribution.leave_one_out.get(name), form), number((attribution.shapley or {}).get(name), form)
