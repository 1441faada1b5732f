"""The numbers of a comparison as they come from the worker: read in full, and refused when anything is wrong."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from DMAFSegmentLib.comparison_record import DICE, VOLUME, Record
from DMAFSegmentLib.protocol import ComparisonEvent, WorkerEventError
from DMAFSegmentLib.volume_table import patterns
from DMAFTraining.inference.case_comparison import LabelSet, compare_case
from DMAFTraining.inference.comparison_document import comparison_document
from DMAFTraining.inference.metadata import Region
from DMAFTraining.modalities import BRATS


@pytest.fixture(scope="module")
def document():
    """T1+FLAIR finds 8 voxels of 1 mL, T1 the half of them, FLAIR nothing."""
    full = np.zeros((6, 6, 6), np.uint8)
    full[2:4, 2:4, 2:4] = 1
    half = full.copy()
    half[3] = 0
    maps = {BRATS.subset(["t1", "flair"]): full, BRATS.subset(["t1"]): half, BRATS.subset(["flair"]): full * 0}
    labels = LabelSet(maps, np.diag([10.0, 10.0, 10.0, 1.0]))
    return comparison_document(compare_case(labels, [Region("L", "Lesion", (1,))]))


def test_numbers_by_hand(document):
    record = Record.read(json.dumps(document))
    assert record.base == "T1+FLAIR"
    assert record.sequences == {"t1": "T1", "flair": "FLAIR"}
    assert record.regions == {"L": "Lesion"}
    assert record.sentences == tuple(document["summary"])
    half, nothing = record.rows["T1"]["L"], record.rows["FLAIR"]["L"]
    assert (half.volume_ml, half.change_ml, half.change_percent) == pytest.approx((4, -4, -50))
    assert half.dice == pytest.approx(2 * 4 / 12)
    assert half.hd95_mm == pytest.approx(10)
    assert (nothing.dice, nothing.hd95_mm, nothing.truth_dice) == (0, None, None)
    assert record.shares[VOLUME]["L"].leave_one_out == pytest.approx({"t1": 8, "flair": 4})
    # T1 comes first in one of two orders and adds 4, or second and adds 8; FLAIR adds 0 or 4.
    assert record.shares[VOLUME]["L"].shapley == pytest.approx({"t1": 6, "flair": 2})
    assert sum(record.shares[DICE]["L"].shapley.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 2),
        (("base",), 5),
        (("summary",), [1]),
        (("results", "T1", "regions", "L", "volume_ml"), "4"),
        (("results", "T1", "regions", "L", "change_percent"), True),
        (("results", "T1", "regions", "L", "to_base"), None),
        (("results",), []),
        (("attribution", "dice"), None),
        (("attribution", "volume_ml", "L", "shapley"), {"t1": "much"}),
    ],
)
def test_a_wrong_field_is_refused(document, path, value):
    broken = copy.deepcopy(document)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match="cannot be read"):
        Record.read(json.dumps(broken))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"schema": 1}'])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="cannot be read"):
        Record.read(text)


def test_event_names_its_files(tmp_path):
    maps = {"agreement": {"WT": "agreement_WT.nrrd"}}
    event = ComparisonEvent.read({"output": str(tmp_path), "comparison": "comparison.json", "maps": maps})
    assert event.document == tmp_path / "comparison.json"
    assert event.maps == {"agreement": {"WT": tmp_path / "agreement_WT.nrrd"}}
    assert ComparisonEvent.read({"output": str(tmp_path)}) == ComparisonEvent(None, {})


@pytest.mark.parametrize(
    "event",
    [{}, {"output": 1}, {"output": "o", "comparison": 5}, {"output": "o", "maps": ["a"]}]
    + [{"output": "o", "maps": {"agreement": files}} for files in ("a.nrrd", {"WT": 5})],
)
def test_event_without_its_files_is_refused(event):
    with pytest.raises(WorkerEventError, match="without its files"):
        ComparisonEvent.read(event)


def test_pattern_says_what_is_used():
    assert patterns(["T1+T1ce+FLAIR", "T1+FLAIR", "T1ce"]) == ["xxx", "x-x", "-x-"]
