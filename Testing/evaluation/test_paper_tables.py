"""Tables from runs whose scores are known, so that every number can be worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DMAFTraining.benchmark import main
from DMAFTraining.evaluation.empty_rule import RuleName
from DMAFTraining.evaluation.paper_report import ReportSettings, write_paper_report
from DMAFTraining.evaluation.published import comparable, read_published
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.statistics import Bootstrap
from DMAFTraining.evaluation.study import Quantity, Study
from DMAFTraining.evaluation.study_reader import read_study
from DMAFTraining.evaluation.tables.checks import comparison_table, seed_table
from DMAFTraining.evaluation.tables.paper import ablation_table, main_table, parts_of, subset_table
from DMAFTraining.evaluation.tables.render import as_csv, as_latex, as_markdown
from DMAFTraining.evaluation.tables.scores import mark
from DMAFTraining.evaluation.tables.sizes import size_table
from DMAFTraining.evaluation.tables.table import Table
from tiny_runs import write_plan, write_run

BRAIN_ORDER = (
    "T2 T1ce T1 FLAIR T1ce+T2 T1+T1ce T1+FLAIR T1+T2 FLAIR+T2 T1ce+FLAIR"
    " T1+T1ce+FLAIR T1+FLAIR+T2 T1ce+FLAIR+T2 T1+T1ce+T2 T1+T1ce+FLAIR+T2"
)
HEART_ORDER = "T2 LGE bSSFP LGE+T2 bSSFP+LGE bSSFP+T2 bSSFP+LGE+T2"
FIRST_CASE = 100 * 0.1 * 32 / 15
"""Mean Dice in % of case 0 of ``graded``: 15 subsets have 4 + 12 + 12 + 4 sequences, 32 / 15 each."""


def graded(row: ScoreRow, setting: str, method: str, seed: int) -> ScoreRow:
    """Dice 0.1 times the number of the case, plus 0.1 per sequence, plus 0.01 for seed 1, plus 0.05 for dmaf."""
    sequences = row.subset.count("+") + 1
    value = 0.1 * int(row.case[-1]) + 0.1 * sequences + 0.01 * seed + 0.05 * (method == "dmaf")
    return replace(row, dice=value, hd95_pooled=10 * value)


def make(folder: Path, dataset: str = "simulated-brain", methods: tuple[str, ...] = ("none", "dmaf")) -> Path:
    write_plan(folder, dataset, ("pdt", "idt2468"), methods)
    return folder


def opened(folder: Path, rule: RuleName | None = None) -> tuple[Study, Bootstrap]:
    study = read_study(folder, rule)
    return study, Bootstrap(len(study.cases), resamples=500)


def values(table: Table, group: int = 0) -> list[list[float | None]]:
    return [[cell.value for cell in row.cells] for row in table.groups[group].rows]


def test_table_1_by_hand(tmp_path: Path) -> None:
    make(tmp_path)
    for method in ("none", "dmaf"):
        for seed in (0, 1):
            write_run(tmp_path, "pdt", method, seed, change=graded)
    table = main_table(*opened(tmp_path), (), "hd95_pooled")
    expected = FIRST_CASE + 10.0 + 0.5  # mean of cases 0, 1, 2, and of seeds 0, 1
    np.testing.assert_allclose(values(table)[0], [expected] * 4 + [expected / 10] * 4, atol=1e-4)
    np.testing.assert_allclose(values(table)[1][:4], [expected + 5.0] * 4, atol=1e-4)
    assert [column.title for column in table.columns] == ["WT", "TC", "ET", "mean"] * 2
    assert [row.labels for row in table.groups[0].rows] == [("NONE",), ("DMAF",)]
    assert [group.title for group in table.groups] == ["PDT", "IDT2468"]


def test_the_case_is_the_unit(tmp_path: Path) -> None:
    """45 numbers of each of three patients are three observations: the interval reaches the patients' own means."""
    make(tmp_path)
    write_run(tmp_path, "pdt", "none", change=graded)
    interval = main_table(*opened(tmp_path), (), "hd95_pooled").groups[0].rows[0].cells[0].interval
    assert interval == pytest.approx((FIRST_CASE, FIRST_CASE + 20.0), abs=1e-4)


def test_a_missing_run_is_a_dash_and_not_a_zero(tmp_path: Path) -> None:
    make(tmp_path)
    write_run(tmp_path, "pdt", "none")
    table = main_table(*opened(tmp_path), (), "hd95_pooled")
    assert values(table)[1] == [None] * 8
    assert values(table, 1) == [[None] * 8] * 2
    assert "| DMAF | – | – | – | – | – | – | – | – |" in as_markdown(table)
    assert "DMAF & -- & -- & -- & -- & -- & -- & -- & -- " in as_latex(table)
    assert f"PDT,DMAF,{',' * 23}\n" in as_csv(table)


@pytest.mark.parametrize(
    ("dataset", "order"), [("simulated-brain", BRAIN_ORDER), ("simulated-heart", HEART_ORDER)], ids=["brain", "heart"]
)
def test_table_2_has_the_columns_of_the_paper(tmp_path: Path, dataset: str, order: str) -> None:
    make(tmp_path, dataset)
    write_run(tmp_path, "pdt", "none", change=graded)
    table = subset_table(*opened(tmp_path), (), "pdt")
    assert [column.title for column in table.columns] == [*order.split(), "mean"]
    by_count = [10.0 * (title.count("+") + 1) + 10.0 for title in order.split()]
    np.testing.assert_allclose(values(table)[0], [*by_count, np.mean(by_count)], atol=1e-4)
    assert len(table.groups) == 3


def test_table_3_has_eight_rows_with_their_marks(tmp_path: Path) -> None:
    methods = ("none", "ablation_fusion", "ablation_distill_monitor", "passion", "dmaf")
    make(tmp_path, methods=methods)
    dice = {name: number / 10 for number, name in enumerate(methods)}
    for name in methods:
        write_run(tmp_path, "idt2468", name, change=lambda row, _, method, __: replace(row, dice=dice[method]))
    study, bootstrap = opened(tmp_path)
    table = ablation_table(study, bootstrap, (), "idt2468", "hd95_pooled")
    assert table is not None
    rows = table.groups[0].rows
    marks = ["".join("x" if label == "✓" else "." for label in row.labels) for row in rows]
    assert marks == ["...", "x..", ".x.", "..x", "xx.", "x.x", ".xx", "xxx"]
    assert [row.cells[0].value for row in rows] == pytest.approx([0.0, 10.0, None, None, None, None, 20.0, 40.0])
    assert ablation_table(study, bootstrap, (), "pdt", "hd95_pooled") is None
    shown = main_table(study, bootstrap, (), "hd95_pooled").groups[1].rows
    assert [row.labels[0] for row in shown] == ["NONE", "PASSION", "DMAF"]


def test_table_3_compares_rows_of_the_same_seeds(tmp_path: Path) -> None:
    make(tmp_path, methods=("none", "ablation_fusion", "dmaf"))
    for name, seed in (("none", 0), ("none", 1), ("ablation_fusion", 1), ("dmaf", 1), ("dmaf", 2)):
        write_run(tmp_path, "pdt", name, seed, change=lambda row, _, __, seed: replace(row, dice=0.1 * seed))
    table = ablation_table(*opened(tmp_path), (), "pdt", "hd95_pooled")
    assert table is not None
    found = [row.cells[0].value for row in table.groups[0].rows]
    assert [value for value in found if value is not None] == pytest.approx([10.0] * 3)
    assert ", 1 seed per method" in table.caption[0]


def test_dice_by_number_of_sequences(tmp_path: Path) -> None:
    make(tmp_path, methods=("none", "ablation_fusion", "dmaf"))
    for name, seed in (("none", 0), ("none", 1), ("ablation_fusion", 0), ("dmaf", 0)):
        write_run(tmp_path, "pdt", name, seed, change=graded)
    table = size_table(*opened(tmp_path))
    # 0.1 for each sequence, 0.1 for the middle case, half of 0.01 for two seeds
    np.testing.assert_allclose(values(table)[0], [20.5, 30.5, 40.5, 50.5], atol=1e-4)
    assert [group.title for group in table.groups] == ["PDT", "PDT, parts", "IDT2468"]
    assert [row.labels for row in table.groups[1].rows] == [("NONE",), ("ABLATION_FUSION",), ("DMAF",)]
    np.testing.assert_allclose(values(table, 1)[0], [20.0, 30.0, 40.0, 50.0], atol=1e-4)  # of seed 0 alone
    assert values(table, 2) == [[None] * 4] * 2


def test_names_of_ablations() -> None:
    assert parts_of("none") == parts_of("baseline") == frozenset()
    assert parts_of("ablation_fusion_distill") == {"fusion", "distill"}
    assert parts_of("dmaf") == parts_of("dmafnet") == {"fusion", "distill", "monitor"}
    assert parts_of("passion") is None


@pytest.mark.parametrize(("rule", "one", "both"), [("passion", 1.0, 0.0), ("brats", 373.13, 0.0)])
def test_empty_masks_follow_the_rule(tmp_path: Path, rule: RuleName, one: float, both: float) -> None:
    def change(row: ScoreRow, *_: object) -> ScoreRow:
        """Distance 2 mm in case 0; prediction empty in case 1; truth and prediction empty in case 2."""
        undefined = replace(row, hd95_pooled=None, predicted_empty=True)
        return {"case0": row, "case1": undefined, "case2": replace(undefined, truth_empty=True)}[row.case]

    make(tmp_path)
    write_run(tmp_path, "pdt", "none", change=change)
    table = main_table(*opened(tmp_path, rule), (), "hd95_pooled")
    np.testing.assert_allclose(values(table)[0][4:], [(2.0 + one + both) / 3] * 4)
    assert "One was empty in 45, both in 45 of 135 comparisons." in as_markdown(table)


def test_undefined_distances_are_left_out_under_the_nan_rule(tmp_path: Path) -> None:
    def change(row: ScoreRow, *_: object) -> ScoreRow:
        empty = (row.case == "case0" and row.subset != "t1") or row.case == "case1"
        return replace(row, hd95_pooled=None, predicted_empty=True) if empty else row

    make(tmp_path)
    write_run(tmp_path, "pdt", "none", change=change)
    study, _ = opened(tmp_path, "nan")
    np.testing.assert_array_equal(study.by_case("pdt", "none", Quantity("hd95_pooled")), [2.0, np.nan, 2.0])
    table = main_table(*opened(tmp_path, "nan"), (), "hd95_pooled")
    assert values(table)[0][4:] == [2.0] * 4


def test_the_plan_chooses_the_rule_unless_another_is_asked_for(tmp_path: Path) -> None:
    make(tmp_path)
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        plan.read_text(encoding="utf-8") + "evaluation: {cases: somewhere, empty: brats}\n", encoding="utf-8"
    )
    write_run(tmp_path, "pdt", "none")
    assert [opened(tmp_path, rule)[0].empty_rule for rule in (None, "nan")] == ["brats", "nan"]


def test_marks_of_a_column() -> None:
    bootstrap, base = Bootstrap(6, 500), np.linspace(0.4, 0.6, 6)
    noisy = base + np.array([0.2, -0.2, 0.2, -0.2, 0.2, -0.19])
    # Always 0.1 below the best is beyond chance; up and down around the best is not.
    assert mark([base - 0.1, None, base], True, bootstrap) == ["second", "", "best"]
    assert mark([base - 0.1, None, base], False, bootstrap) == ["best", "", "second"]
    assert mark([noisy, base, base - 0.3], True, bootstrap) == ["best", "", ""]
    assert mark([base, None], True, bootstrap) == ["", ""]


@pytest.mark.parametrize(
    ("dataset", "trained_on_simulated", "shown"),
    [("brats2020", False, True), ("brats2020", True, False), ("simulated-brain", True, False)],
)
def test_published_numbers_never_stand_beside_simulated_ones(
    tmp_path: Path, dataset: str, trained_on_simulated: bool, shown: bool
) -> None:
    make(tmp_path, dataset)
    write_run(tmp_path, "pdt", "none", change=lambda row, *_: replace(row, simulated_training=trained_on_simulated))
    study, bootstrap = opened(tmp_path)
    published = comparable(study)
    table = main_table(study, bootstrap, published, "hd95_pooled")
    text = as_markdown(table) + as_markdown(subset_table(study, bootstrap, published, "pdt"))
    assert ("84.94" in text) is ("| M2FTrans (Table 2)† | – | 71.63 | – |" in text) is shown
    assert ("not the printed 71.63" in text) is shown
    assert ("SIMULATED" in text) is not shown


def test_published_numbers_of_brains_do_not_stand_beside_hearts(tmp_path: Path) -> None:
    make(tmp_path, "myops2020")
    write_run(tmp_path, "pdt", "none")
    assert {entry.dataset for entry in comparable(read_study(tmp_path))} <= {"myops2020"}


def test_published_means_follow_from_what_is_printed() -> None:
    entries = read_published()
    complete = [entry for entry in entries if len(entry.dice) == 3]
    assert len(complete) == 6
    for entry in complete:
        assert entry.average == pytest.approx(np.mean(list(entry.dice.values())), abs=0.006)
    gains = {frozenset({"fusion"}): 1.70, frozenset({"distill"}): 2.03, frozenset({"monitor"}): 1.90}
    by_parts = {entry.parts: entry.average for entry in entries if entry.parts in gains}
    assert by_parts == pytest.approx(
        {parts: (80.16 + 66.26 + 50.31) / 3 + gain for parts, gain in gains.items()}, abs=0.01
    )


def test_comparisons_are_corrected_over_the_whole_table(tmp_path: Path) -> None:
    make(tmp_path, methods=("none", "passion", "dmaf"))
    for method in ("none", "dmaf"):
        write_run(tmp_path, "pdt", method, cases=8, change=graded)
    study, bootstrap = opened(tmp_path)
    table = comparison_table(study, bootstrap, "dmaf")
    first = table.groups[0].rows[0]
    assert first.cells[0].value == pytest.approx(-5.0, abs=1e-4)
    # All eight cases differ in one direction: p = 2 / 2^8; four comparisons were made.
    assert first.cells[4].value == pytest.approx(4 * 2 / 2**8)
    assert values(table)[1] == [None] * 8
    assert "4 comparisons" in as_markdown(table)
    with pytest.raises(ValueError, match="no method 'magic'"):
        comparison_table(study, bootstrap, "magic")


def test_spread_of_the_seeds(tmp_path: Path) -> None:
    make(tmp_path)
    for seed in (0, 1):
        write_run(tmp_path, "pdt", "none", seed, change=graded)
    rows = seed_table(read_study(tmp_path)).groups[0].rows
    low = FIRST_CASE + 10.0
    assert rows[0].cells[0].value == 2
    assert rows[0].cells[1].text == f"{low:.2f} .. {low + 1:.2f}"
    assert rows[1].cells[0].value is None


def test_what_the_plan_never_asked_for_is_no_gap(tmp_path: Path) -> None:
    make(tmp_path)
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        plan.read_text(encoding="utf-8") + "only: [{setting: pdt, method: none}, {method: [dmaf], seeds: [3]}]\n",
        encoding="utf-8",
    )
    write_run(tmp_path, "pdt", "none")
    groups = seed_table(read_study(tmp_path)).groups
    assert [[row.labels for row in group.rows] for group in groups] == [[("NONE",), ("DMAF",)], [("DMAF",)]]
    page = write_paper_report(read_study(tmp_path), ReportSettings(), tmp_path / "report").read_text(encoding="utf-8")
    assert "Without a run: dmaf in pdt, dmaf in idt2468." in page


def test_latex_of_subsets_has_a_line_of_dots_per_sequence(tmp_path: Path) -> None:
    make(tmp_path, "simulated-heart")
    write_run(tmp_path, "pdt", "none")
    lines = as_latex(subset_table(*opened(tmp_path), (), "pdt")).splitlines()
    dots = [line for line in lines if r"$\bullet$" in line]
    assert [line.split(" & ")[0] for line in dots] == ["bSSFP", "LGE", "T2"]
    assert [line.count(r"$\bullet$") for line in dots] == [4, 4, 4]
    assert [line.count(r"$\circ$") for line in dots] == [3, 3, 3]


def test_the_caption_says_what_the_numbers_are(tmp_path: Path) -> None:
    make(tmp_path)
    write_run(tmp_path, "pdt", "none")
    write_run(tmp_path, "pdt", "dmaf", 0)
    write_run(tmp_path, "pdt", "dmaf", 1)
    text = as_markdown(main_table(*opened(tmp_path), (), "hd95_pooled"))
    assert "Data: simulated brain tumors, 3 cases, 15 subsets of sequences, 1 to 2 seeds per method" in text
    for words in ("SIMULATED data", "1 mm if one is, 0 if both are", "scipy", "DMAFTraining", "Bold: best"):
        assert words in text


def test_a_variant_of_a_region_is_shown_but_not_averaged(tmp_path: Path) -> None:
    make(tmp_path)
    path = write_run(tmp_path, "pdt", "none", change=lambda row, *_: replace(row, dice=0.2)) / "scores.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    extra = [line.replace(",ET,0.200000", ",ET-500,0.900000") for line in lines if ",ET," in line]
    path.write_text("\n".join([*lines, *extra]) + "\n", encoding="utf-8")
    table = main_table(*opened(tmp_path), (), "hd95_pooled")
    assert [column.title for column in table.columns[:5]] == ["WT", "TC", "ET", "ET-500", "mean"]
    assert values(table)[0][:5] == pytest.approx([20, 20, 20, 90, 20])


def without_plan(runs: Path) -> None:
    (runs / "plan.yaml").unlink()


def with_a_bare_plan(runs: Path) -> None:
    (runs / "plan.yaml").write_text("title: x\n", encoding="utf-8")


def with_an_unknown_dataset(runs: Path) -> None:
    plan = runs / "plan.yaml"
    plan.write_text(plan.read_text(encoding="utf-8").replace("simulated-brain", "liver"), encoding="utf-8")


def with_a_run_on_fewer_cases(runs: Path) -> None:
    write_run(runs, "pdt", "dmaf", cases=2)


def with_a_run_on_other_cases(runs: Path) -> None:
    write_run(runs, "pdt", "dmaf", change=lambda row, *_: replace(row, case=f"other-{row.case}"))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (without_plan, "cannot be read"),
        (with_a_bare_plan, "lacks title, dataset, settings or methods"),
        (with_an_unknown_dataset, "'liver'; known are brats2020"),
        (with_a_run_on_fewer_cases, "Score all runs on the same cases"),
        (with_a_run_on_other_cases, "other cases, subsets or regions"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = make(tmp_path / "runs")
    write_run(runs, "pdt", "none")
    damage(runs)
    assert main(["tables", str(runs), "--output", str(tmp_path / "report")]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_no_scores_yet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has a scores.csv yet"):
        read_study(make(tmp_path))


def test_the_command_writes_a_report_whose_links_exist(tmp_path: Path) -> None:
    runs = make(tmp_path / "runs", "simulated-heart")
    write_run(runs, "pdt", "none")
    write_run(runs, "pdt", "dmaf", change=graded)
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.json").touch()  # left by an earlier report, which is replaced
    assert main(["tables", str(runs), "--output", str(report)]) == 0
    page = (report / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert {"table1.md", "table1.csv", "table1.tex", "table2_pdt.md", "runs.csv", "dots_pdt.png"} <= set(links)
    assert all((report / link).is_file() for link in links)
    assert f"benchmark tables {runs} --output {report}" in page
    assert "Without a run: none in idt2468, dmaf in idt2468." in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "runs"]


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = make(tmp_path / "runs")
    write_run(runs, "pdt", "none")
    assert main(["tables", str(runs), "--output", str(runs)]) == 2
    assert "is not such a report" in capsys.readouterr().err
    assert (runs / "plan.yaml").is_file()
