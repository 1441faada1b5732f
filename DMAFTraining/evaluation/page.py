"""The comparison as one HTML file that needs nothing else: no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from DMAFTraining import RESEARCH_NOTICE, __version__
from DMAFTraining.evaluation.content import Content, Row, comparison_title, truth_title
from DMAFTraining.evaluation.page_attribution import attribution_body
from DMAFTraining.evaluation.page_html import items, legend, paragraph, picture_figure, section
from DMAFTraining.evaluation.page_maps import agreement_body, contribution_body, entropy_body
from DMAFTraining.evaluation.page_numbers import number_notes, overlap_table, volume_table
from DMAFTraining.evaluation.page_origin import origin_body
from DMAFTraining.evaluation.page_places import places_body
from DMAFTraining.evaluation.pictures import Pictures, draw_pictures
from DMAFTraining.evaluation.slices import ORIENTATIONS, Picture
from DMAFTraining.inference.comparison_sentences import addition_sentences, summary_sentences

_HERE = Path(__file__).parent
_SMALL_SIDE = 260
_AXES = "xyz"


def comparison_page(content: Content, pictures: Pictures) -> str:
    """The page as text; ``pictures`` are the axial ones."""
    notes = (*content.reading_notes(), *number_notes(content))
    sections = (
        section("short", "In short", _summary(content)),
        section("input", "The patient", _inputs(content, pictures)),
        section("results", "Segmentation from each combination of sequences", _results(content, pictures)),
        section("numbers", "Volumes, overlap and distance", volume_table(content) + overlap_table(content)),
        section("matters", "Which sequence matters", attribution_body(content)),
        section("agreement", "Where the combinations agree", agreement_body(content, pictures)),
        section("entropy", "Where the model is undecided", entropy_body(content, pictures)),
        section("contribution", "What the network mixes", contribution_body(content, pictures)),
        section("places", "Where results differ most", places_body(content)),
        section("reading", "How to read this page", items(notes)),
        section("origin", "Where this comes from", origin_body(content.provenance)),
    )
    return whole_page(comparison_title(content), f"Model: {content.model}", content.notices, sections)


def whole_page(title: str, subtitle: str, notices: Sequence[str], sections: Sequence[str]) -> str:
    """A page of sections (HTML) with style, script and notices."""
    style, script, template = ((_HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html"))
    return Template(template).substitute(
        title=escape(title),
        style=style,
        script=script,
        subtitle=escape(subtitle),
        notices="".join(f"<p>{escape(sentence)}</p>" for sentence in notices),
        sections="".join(sections),
        version=escape(__version__),
        research=escape(RESEARCH_NOTICE),
    )


def _summary(content: Content) -> str:
    base = content.comparison.base
    sentences = (*summary_sentences(content.comparison), *addition_sentences(content.comparison, content.metadata))
    note = f"Everything is compared with the result from {base}, which need not be right."
    return items([*sentences, note])


def _inputs(content: Content, pictures: Pictures) -> str:
    sides = pictures.frame.view.sides
    figures = [
        picture_figure(picture, f"{title}, axial slice", f"<h3>{escape(title)}</h3>", sides)
        for title, picture in pictures.sequences.items()
    ]
    if pictures.truth is not None:
        words = _sentence(content.truth_volumes_ml)
        caption = f"<h3>{truth_title(content)}</h3><p>{escape(words)}</p>"
        figures.append(picture_figure(pictures.truth, f"{truth_title(content)}: {words}", caption, sides))
    place = f"Axial slice at z = {pictures.position:+.0f} mm, where the results differ most."
    return f'{paragraph(place)}<div class="grid">\n{"".join(figures)}</div>\n' if figures else ""


def _sentence(volumes_ml: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {volume:.1f} mL" for name, volume in volumes_ml.items())


def _results(content: Content, axial: Pictures) -> str:
    colors = legend([(label.name, label.color) for label in content.metadata.labels], "Colors of the labels")
    cells = "".join(_cell(content, row, shown, axial) for row, shown in zip(content.rows, axial.rows, strict=True))
    others = "".join(_other_view(content, draw_pictures(content, o, _SMALL_SIDE)) for o in ORIENTATIONS[1:])
    return f'{colors}<div class="grid">\n{cells}</div>\n{others}'


def _cell(content: Content, row: Row, picture: Picture, pictures: Pictures) -> str:
    numbers = content.comparison.rows[row.subset]
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{each.volume_ml:.1f}</td><td>{each.to_base.dice:.2f}</td></tr>'
        for name, each in numbers.items()
    )
    to_base = "Dice to fullest" if content.comparison.base == content.rows[0].subset else "Dice to base"
    header = f'<th scope="col">Region</th><th scope="col">mL</th><th scope="col">{to_base}</th>'
    count = f"{len(row.subset)} of {len(content.metadata.modalities)} sequences"
    caption = (
        f"<h3>{escape(row.title)}</h3><p>{count}</p>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>"
    )
    alt = f"Segmentation from {row.title}{_over(content, row)}: {_sentence(row.volumes_ml)}"
    return picture_figure(picture, alt, caption, pictures.frame.view.sides, "result")


def _other_view(content: Content, pictures: Pictures) -> str:
    view = pictures.frame.view
    place = f"{view.orientation.capitalize()} slice at {_AXES[view.across]} = {pictures.position:+.0f} mm"
    figures = "".join(
        picture_figure(
            picture,
            f"Segmentation from {row.title}{_over(content, row)}, {view.orientation} slice",
            f"<h4>{escape(row.title)}</h4>",
            view.sides,
        )
        for row, picture in zip(content.rows, pictures.rows, strict=True)
    )
    return f'<h3>{place}</h3>\n<div class="grid small">\n{figures}</div>\n'


def _over(content: Content, row: Row) -> str:
    if not content.images:
        return ""
    return f" over {content.metadata.modalities[content.background(row.subset)].title}"
