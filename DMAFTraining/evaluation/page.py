"""The comparison as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.image import imsave

from DMAFTraining import RESEARCH_NOTICE, __version__
from DMAFTraining.evaluation.content import Content, Pictures, Row, comparison_title, truth_title
from DMAFTraining.evaluation.slices import Picture
from DMAFTraining.inference.comparison import mean_dice

_HERE = Path(__file__).parent
_FIRST = ' class="first"'


def comparison_page(content: Content, pictures: Pictures) -> str:
    """The page as text."""
    template = Template((_HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(comparison_title(content)),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        model=escape(content.model),
        notices="".join(f"<p>{escape(sentence)}</p>" for sentence in content.notices),
        position=f"{pictures.position:+.0f}",
        inputs=_inputs(content, pictures),
        legend="".join(_swatch(label.name, label.color) for label in content.metadata.labels),
        cells="".join(_cell(content, row, picture) for row, picture in zip(content.rows, pictures.rows, strict=True)),
        table=_table(content),
        notes="".join(f"<li>{escape(note)}</li>\n" for note in (*content.reading_notes(), *_truth_note(content))),
        version=escape(__version__),
        research=escape(RESEARCH_NOTICE),
    )


def _truth_note(content: Content) -> tuple[str, ...]:
    if content.truth is None:
        return ()
    origin = "the simulated tumor" if content.case.simulated else "the reference segmentation"
    return (f"Dice to truth compares with {origin}.",)


def _inputs(content: Content, pictures: Pictures) -> str:
    figures = [
        _figure(picture, f"{title}, axial slice", f"<h3>{escape(title)}</h3>")
        for title, picture in pictures.sequences.items()
    ]
    if pictures.truth is not None:
        volumes = content.truth_volumes_ml
        caption = f"<h3>{truth_title(content)}</h3><p>{escape(_sentence(volumes))}</p>"
        figures.append(_figure(pictures.truth, f"{truth_title(content)}: {_sentence(volumes)}", caption))
    return "".join(figures)


def _sentence(volumes_ml: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {volume:.1f} mL" for name, volume in volumes_ml.items())


def _cell(content: Content, row: Row, picture: Picture) -> str:
    behind = content.metadata.modalities[content.background(row.subset)].title
    alt = f"Segmentation from {row.title} over {behind}: {_sentence(row.volumes_ml)}"
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{volume:.1f}</td><td>{row.dice_to_fullest[name]:.2f}</td></tr>'
        for name, volume in row.volumes_ml.items()
    )
    header = '<th scope="col">Region</th><th scope="col">mL</th><th scope="col">Dice to fullest</th>'
    count = f"{len(row.subset)} of {len(content.metadata.modalities)} sequences"
    return _figure(
        picture,
        alt,
        f"<h3>{escape(row.title)}</h3><p>{count}</p>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>",
        ' class="result"',
    )


def _figure(picture: Picture, alt: str, caption: str, attributes: str = "") -> str:
    height, width = picture.shape[:2]
    return (
        f'<figure{attributes}><div class="picture">'
        f'<img src="{data_url(picture)}" width="{width}" height="{height}" alt="{escape(alt)}">'
        '<span class="right" aria-hidden="true">R</span><span class="left" aria-hidden="true">L</span></div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def data_url(picture: Picture) -> str:
    """The picture as PNG inside an address, so that the page needs no other file."""
    stream = io.BytesIO()
    imsave(stream, np.ascontiguousarray(picture), format="png")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _swatch(name: str, color: tuple[int, int, int]) -> str:
    red, green, blue = color
    return f'<li><span class="swatch" style="background:rgb({red},{green},{blue})"></span>{escape(name)}</li>\n'


def _table(content: Content) -> str:
    names = [region.name for region in content.metadata.regions]
    groups = ["Volume (mL)", f"Dice to {content.rows[0].title}"]
    groups += ["Dice to truth"] if content.truth is not None else []
    heads = "".join(f'<th scope="colgroup" class="first" colspan="{len(names)}">{escape(g)}</th>' for g in groups)
    columns = "".join(_cells(names, 'th scope="col"') for _ in groups)
    body = "".join(_line(row.title, _numbers(row, names)) for row in content.rows)
    body += _summary_lines(content, names)
    return (
        "<table><thead>"
        f'<tr><th scope="col" rowspan="2">Sequences</th>{heads}</tr><tr>{columns}</tr>'
        f"</thead><tbody>{body}</tbody></table>\n"
    )


def _numbers(row: Row, names: list[str]) -> str:
    volumes = _cells(f"{row.volumes_ml[name]:.1f}" for name in names)
    return volumes + _shares(row.dice_to_fullest, names) + _shares(row.dice_to_truth or {}, names)


def _summary_lines(content: Content, names: list[str]) -> str:
    """Mean over the combinations and, if it is known, the volumes of the truth."""
    empty = _cells("" for _ in names)
    means = [mean_dice([row.dice_to_fullest for row in content.rows])]
    if content.truth is not None:
        means.append(mean_dice([row.dice_to_truth or {} for row in content.rows]))
    lines = _line("Mean", empty + "".join(_shares(mean, names) for mean in means), ' class="apart"')
    if content.truth is not None:
        volumes = _cells(f"{content.truth_volumes_ml[name]:.1f}" for name in names)
        lines += _line(truth_title(content), volumes + empty + empty)
    return lines


def _line(title: str, cells: str, attributes: str = "") -> str:
    return f'<tr{attributes}><th scope="row">{escape(title)}</th>{cells}</tr>\n'


def _cells(texts: Iterable[str], tag: str = "td") -> str:
    """Cells of one group of columns; the first carries the line between groups."""
    end = tag.split()[0]
    return "".join(f"<{tag}{_FIRST if column == 0 else ''}>{escape(text)}</{end}>" for column, text in enumerate(texts))


def _shares(values: Mapping[str, float], names: list[str]) -> str:
    """Cells with a bar as long as the value, 0 to 1; nothing for an empty table."""
    if not values:
        return ""
    marks = ["share first", *("share" for _ in names[1:])]
    return "".join(
        f'<td class="{mark}" style="--value:{values[name]:.3f}">{values[name]:.2f}</td>'
        for name, mark in zip(names, marks, strict=True)
    )
