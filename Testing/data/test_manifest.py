"""Manifest files: written and read back, the published layout, and everything that may be wrong in them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DMAFTraining.data.manifest import look_up, read_manifest, write_manifest
from DMAFTraining.modalities import BRATS, MYOPS

PUBLISHED = "data_name,mask_id,mask,pos_mask_ids\n"


@settings(max_examples=30)
@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True), st.integers(1, 7), min_size=1))
def test_round_trip(rows: dict[str, int]) -> None:
    names = list(rows)
    table = np.array([[bool(bits >> shift & 1) for shift in range(3)] for bits in rows.values()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.csv"
        write_manifest(path, names, MYOPS, table)
        found = read_manifest(path, MYOPS)
        assert list(Path(folder).iterdir()) == [path]
    assert list(found) == names
    assert np.array_equal(look_up(found, names), table)


def test_columns_may_come_in_any_order_and_spelling(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("name,T2w,t1gd,FLAIR,t1n\np1,0,1,0,0\n\np2,1,0,0,1\n", encoding="utf-8")
    assert read_manifest(path, BRATS) == {"p1": (False, True, False, False), "p2": (True, False, False, True)}


def test_published_layout_with_old_and_new_numpy_text(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        PUBLISHED
        + 'HG_BraTS20_Training_002,5,"[False, True, True, False]","[1, 2, 5]"\n'
        + 'LG_BraTS20_Training_260,3,"[np.True_, np.False_, np.False_, np.False_]",[3]\n',
        encoding="utf-8",
    )
    rows = read_manifest(path, BRATS)
    table = look_up(rows, ["BraTS20_Training_260", "BraTS20_Training_002"])
    assert table.astype(int).tolist() == [[0, 0, 1, 0], [1, 1, 0, 0]]  # t1, t1ce, flair, t2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,t1,t1ce,flair\n", "should begin with"),
        ("name,t1,t1ce,flair,flair\n", "should begin with"),
        ("case,t1,t1ce,flair,t2\n", "should begin with"),
        ("name,t1,t1ce,flair,t2\na,1,0,yes,0\n", "line 2: a has 'yes' where 0 or 1"),
        ("name,t1,t1ce,flair,t2\na,1,0,0\n", "line 2: expected a name and 4 cells"),
        ("name,t1,t1ce,flair,t2\na,1,0,0,1\na,1,1,1,1\n", "line 3: a is listed twice"),
        ("name,t1,t1ce,flair,t2\na,0,0,0,0\n", "line 2: a has no sequence"),
        (PUBLISHED + 'a,5,"[True, True, True, False]",[]\n', "mask_id '5', which does not belong"),
        (PUBLISHED + "a,5,\"__import__('os').remove('x')\",[]\n", "where a list of four"),
        (PUBLISHED + 'a,x,"[True, True, True, True]",[]\n', "mask_id 'x'"),
        (PUBLISHED + 'a,14,"[True, True, True, True, True]",[]\n', "where a list of four"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="The manifest") as problem:
        read_manifest(path, BRATS)
    assert message in str(problem.value)


def test_published_layout_is_for_brats_only(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(PUBLISHED, encoding="utf-8")
    with pytest.raises(ValueError, match="the data set has others"):
        read_manifest(path, MYOPS)
    with pytest.raises(ValueError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv", MYOPS)


def test_a_case_without_a_row_uses_its_patients_row() -> None:
    rows = {"p1": (True, False), "p1_slice_3": (False, True)}
    assert look_up(rows, ["p1_slice_0", "p1_slice_3"]).tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match="no row for p2, p3, p4 and 1 more"):
        look_up(rows, ["p1", "p2", "p3", "p4", "p5"])
