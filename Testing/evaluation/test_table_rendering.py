"""One odd table as LaTeX, Markdown and CSV: what has to be escaped is, and no number is lost."""

from __future__ import annotations

import csv
import io
import re

from DMAFTraining.evaluation.tables.render import as_csv, as_latex, as_markdown
from DMAFTraining.evaluation.tables.table import Cell, Column, Group, Row, Table

ODD = Table(
    name="odd_name",
    title="100 % of A_B & C",
    caption=("50 % {sure}.",),
    stub=("method",),
    columns=(Column("Dice %", "W_T"), Column("Dice %", "a|b"), Column("", "p", 4)),
    groups=(Group("s_1", (Row(("x_y",), (Cell(1.0, (0.5, 1.5), "best"), Cell(2.0, mark="second"), Cell())),)),),
    intervals=True,
)


def test_latex_is_well_formed() -> None:
    text = as_latex(ODD)
    environments = re.findall(r"\\(begin|end)\{(\w+\*?)\}", text)
    assert environments == [("begin", "table*"), ("begin", "tabular"), ("end", "tabular"), ("end", "table*")]
    without_label = text.replace(r"\label{tab:odd_name}", "")
    assert not re.search(r"(?<!\\)_", without_label)
    assert re.findall(r"(?<!\\)%.*", text) == [r"% needs \usepackage{booktabs,amssymb}"]
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"x\_y & \textbf{1.00 [0.50, 1.50]} & \underline{2.00} & -- \\" in text
    assert r"& \multicolumn{2}{c}{Dice \%} & \multicolumn{1}{c}{} \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert [line.count("&") - line.count(r"\&") for line in rows] == [3, 3]


def test_markdown_and_csv_of_the_same_table() -> None:
    text = as_markdown(ODD)
    assert "| x_y | **1.00 [0.50, 1.50]** | <u>2.00</u> | – |" in text
    assert r"| method | Dice % W_T | Dice % a\|b | p |" in text
    first, second = csv.reader(io.StringIO(as_csv(ODD)))
    assert first[:5] == ["group", "method", "Dice % W_T", "Dice % W_T low", "Dice % W_T high"]
    assert second == ["s_1", "x_y", "1.000000", "0.500000", "1.500000", "2.000000", "", "", "", "", ""]
