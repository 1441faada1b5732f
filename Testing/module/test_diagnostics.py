"""The report names no patient."""

from __future__ import annotations

import json

import pytest

from DMAFSegmentLib.diagnostics import Anonymizer, make_report, private_texts, public_line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("volume Roe_Jane_flair is flat", "volume <private> is flat"),
        ("JaneRoe and ROE^JANE", "<private><private> and <private>"),
        ("Roentgen saw a channel", "Roentgen saw a channel"),
        ("the flair image", "the flair image"),
        ("cannot open /mnt/a b/scan one.nii.gz: denied", "cannot open <path>"),
        (r"cannot open C:\Users\x\scan.nrrd", "cannot open <path>"),
        ("wrote 'D:/a b/c.nrrd' again", 'wrote "<path>" again'),
        ("scan of 2019-03-31.nii.gz and 20190331", "scan of <file> and <date>"),
        ("UID 1.2.840.113619.2.55.3 of torch 2.13.0", "UID <id> of torch 2.13.0"),
        ("ID 7654321", "ID <private>"),
        ('File "/home/x/lib/site-packages/torch/nn/a.py", line 3', 'File "<path>/site-packages/torch/nn/a.py", line 3'),
        ('File "/home/x/secret.py", line 3', 'File "<path>", line 3'),
        ("took 3/4 of T1/FLAIR at 12.5 MB/s", "took 3/4 of T1/FLAIR at 12.5 MB/s"),
        ("Ann kept it", "<private> kept it"),
    ],
)
def test_lines(line, expected):
    private = ["Roe_Jane_flair", "ROE^JANE", "7654321", "Ann"]
    assert Anonymizer(private, public=["flair"])(line) == expected


def test_whole_known_paths_leave_the_rest_of_the_line():
    text = Anonymizer(["/archive/Roe Jane/t1.nii.gz"])("Cannot read /archive/Roe Jane/t1.nii.gz (permission).")
    assert text == "Cannot read <path> (permission)."


def test_events_lose_the_fields_that_hold_paths():
    event = {"event": "result", "title": "T1", "file": "/a/Roe/l.nrrd", "maps": {"m": "/x"}, "volumes_ml": {"WT": 1.5}}
    assert json.loads(public_line(json.dumps(event), Anonymizer([]))) == {
        "event": "result",
        "title": "T1",
        "volumes_ml": {"WT": 1.5},
    }
    event = {"event": "error", "message": "M\u00fcller's image", "versions": {"system": "M\u00fcller-PC"}}
    assert "ller" not in public_line(json.dumps(event), Anonymizer(["M\u00fcller"]))


def test_names_files_and_tags_of_volumes_are_private(new_volume, scene):
    node = new_volume("Roe_Jane_t1")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName("/archive/Clinic North/t1.nii.gz")
    texts = private_texts([node], tag=lambda _node, name: {"0010,0010": "ROE^JANE"}.get(name, ""))
    assert {"Roe_Jane_t1", "/archive/Clinic North/t1.nii.gz", "Clinic North", "ROE^JANE"} <= texts
    assert "" not in texts


def test_report_keeps_versions_as_they_are():
    anonymize = Anonymizer(["Slicer 5", "/private/x"])
    report = make_report("Failed: /private/x.", {"Slicer": "5.12"}, {"Device": "cpu"}, ["a /private/x b"], anonymize)
    lines = report.splitlines()
    assert "Slicer: 5.12" in lines
    assert "Device: cpu" in lines
    assert "Failed: <path>." in lines
    assert lines[-1] == "a <path> b"
