"""Scans of a case: which file or series is which sequence, and what is told about it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_rig import SECRET_ID, SECRET_NAME, voxels, write_brain_study, write_series
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import read_volume
from DMAFTraining.inference.scans.dicom import DicomSeries
from DMAFTraining.inference.scans.reading import Source, content_sha256, describe, find_scans, read_scan
from DMAFTraining.modalities import BRATS, MYOPS


def write_image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(voxels(seed=seed)), str(path))
    return path


def series(source: Source) -> DicomSeries:
    assert isinstance(source, DicomSeries)
    return source


def test_the_better_resolved_of_two_series_of_each_sequence_is_taken(tmp_path: Path) -> None:
    written = write_brain_study(tmp_path)
    sources, notes = find_scans(tmp_path, BRATS)
    assert {name: set(series(source).files) for name, source in sources.items()} == {
        name: set(files) for name, files in written.items()
    }
    assert list(sources) == list(BRATS.names)
    assert notes[:2] == (
        'T1: DICOM series "t1_mprage_sag" (8 slices, 1 x 1 x 1 mm), because of its series description'
        ' "t1_mprage_sag" (high confidence).',
        'Left out: DICOM series "ax T1 SE", because T1 is taken from "t1_mprage_sag", which is better resolved'
        " (1 x 1 x 1 mm instead of 0.5 x 0.5 x 5 mm).",
    )
    for number, name in enumerate(BRATS.names, start=1):
        volume = read_scan(sources[name]).volume
        assert np.array_equal(volume.array, voxels((8, 8, 8), number + 10).transpose(2, 1, 0))


def test_series_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    for name in ("T1 mprage", "T2 tse"):
        for file in write_series(tmp_path / name, SeriesDescription=name):
            file.rename(tmp_path / f"{name}-{file.name}")
    sources, _ = find_scans(tmp_path, BRATS)
    assert sorted(sources) == ["t1", "t2"]
    assert len(series(sources["t1"]).files) == 6
    with pytest.raises(InputError, match=r'holds 2 DICOM series \("T1 mprage", "T2 tse"\)'):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SeriesDescription": "T2 localizer"}, 'it is called "localizer"'),
        ({"SeriesDescription": "T2", "ImageType": ["DERIVED", "SECONDARY", "ADC"]}, "of another kind (ADC)"),
        (
            {"SeriesDescription": "T2", "ImageType": ["DERIVED", "PRIMARY", "PROJECTION IMAGE", "MIP"]},
            "of another kind (MIP, PROJECTION IMAGE)",
        ),
        ({"SeriesDescription": "T2", "Modality": "CT"}, "it is no MR image (CT)"),
        ({"SeriesDescription": "trace 3"}, 'it is called "trace"'),
        ({"SeriesDescription": "unknown"}, "it is unclear which sequence it is"),
        ({"SeriesDescription": "T2", "positions": [[0, 0, h] for h in (0, 1, 2, 3, 5, 6)]}, "it misses 1 of 7 slices"),
    ],
)
def test_other_series_are_left_out_with_the_reason(tmp_path: Path, tags: dict, reason: str) -> None:
    write_series(tmp_path / "good", SeriesDescription="T1", SeriesNumber=9)
    write_series(tmp_path / "other", **tags)
    sources, notes = find_scans(tmp_path, BRATS)
    assert list(sources) == ["t1"]
    assert notes[1].startswith(f'Left out: DICOM series "{tags["SeriesDescription"]}", because it')
    assert reason in notes[1]


@pytest.mark.parametrize(
    ("worse", "better", "reason"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, {}, "which is no derived image"),
        ({"SeriesNumber": 3}, {"SeriesNumber": 7}, "which was acquired later"),
        ({"EchoTime": 10, "RepetitionTime": 500}, {"EchoTime": 100, "RepetitionTime": 4000}, "whose sequence is surer"),
        ({"SeriesDescription": "x", "ProtocolName": "T2"}, {"SeriesDescription": "T2"}, "which is more clearly named"),
        ({"spacing": (0.5, 0.5, 5.0)}, {"spacing": (1.0, 1.0, 1.5)}, "which is better resolved"),
    ],
)
def test_the_better_series_of_one_sequence_wins(tmp_path: Path, worse: dict, better: dict, reason: str) -> None:
    write_series(tmp_path / "a", **{"SeriesDescription": "T2", "SeriesNumber": 1} | worse)
    wanted = write_series(tmp_path / "b", **{"SeriesDescription": "T2", "SeriesNumber": 1} | better)
    write_series(tmp_path / "c", **{"SeriesDescription": "T2", "SeriesNumber": 1} | worse)
    sources, notes = find_scans(tmp_path, BRATS)
    assert series(sources["t2"]).files == tuple(wanted)
    assert [reason in note for note in notes] == [False, True, True]


def test_a_doubtful_series_asks_to_be_checked(tmp_path: Path) -> None:
    write_series(tmp_path, SeriesDescription="series", EchoTime=100, RepetitionTime=4000)
    _, notes = find_scans(tmp_path, BRATS)
    assert notes[0].endswith(
        "because of its echo, repetition and inversion times (T2) (low confidence). Please check it."
    )


def test_series_of_two_patients_or_days_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SeriesDescription="T1")
    write_series(tmp_path / "b", SeriesDescription="T2", PatientID="other")
    with pytest.raises(InputError, match="holds DICOM series of 2 patients") as caught:
        find_scans(tmp_path, BRATS)
    assert SECRET_ID not in str(caught.value)
    write_series(tmp_path / "b", SeriesDescription="T2", StudyDate="20200101")
    with pytest.raises(InputError, match="of 2 examinations on different days"):
        find_scans(tmp_path, BRATS)


def test_image_files_go_by_their_names_and_before_dicom(tmp_path: Path) -> None:
    t1 = write_image(tmp_path / "case_t1.nii.gz")
    late = write_image(tmp_path / "case-LGE.mha")
    write_image(tmp_path / "case_seg.nii.gz")
    write_series(tmp_path / "dicom" / "t1", SeriesDescription="T1")
    write_series(tmp_path / "dicom" / "t2", SeriesDescription="T2")
    sources, notes = find_scans(tmp_path, BRATS)
    assert sources["t1"] == t1
    assert series(sources["t2"]).description == "T2"
    assert "T1: case_t1.nii.gz, because of its name." in notes
    assert "T1 is taken from its file, not from a DICOM series." in notes
    assert "Left out: case_seg.nii.gz, whose name does not end like a sequence." in notes
    assert find_scans(tmp_path, MYOPS)[0]["lge"] == late
    write_image(tmp_path / "again_T1w.nii")
    with pytest.raises(InputError, match=r"holds T1 twice: again_T1w.nii and case_t1.nii.gz"):
        find_scans(tmp_path, BRATS)


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        find_scans(tmp_path / "absent", BRATS)
    with pytest.raises(InputError, match="holds no image of a known sequence"):
        find_scans(tmp_path, BRATS)
    with pytest.raises(InputError, match="holds no DICOM images"):
        read_scan(tmp_path)
    write_series(tmp_path, SeriesDescription="scout")
    with pytest.raises(InputError, match='because it is called "scout"'):
        find_scans(tmp_path, BRATS)


def test_a_good_file_is_read_as_ever(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        path = write_image(tmp_path / name)
        scan, plain = read_scan(path), read_volume(path)
        assert scan.warnings == ()
        assert scan.volume.source == plain.source
        assert scan.volume.array.tobytes() == plain.array.tobytes()
        assert scan.volume.grid.ijk_to_ras.tobytes() == plain.grid.ijk_to_ras.tobytes()


def test_content_is_that_of_the_files_and_not_of_their_names(tmp_path: Path) -> None:
    image = write_image(tmp_path / "t1.nii")
    assert content_sha256(image) == content_sha256(str(image)) == hashlib.sha256(image.read_bytes()).hexdigest()
    files = write_series(tmp_path / "a", SeriesDescription="T1")
    (tmp_path / "b").mkdir()
    for number, file in enumerate(reversed(files)):
        (tmp_path / "b" / f"{number}.dcm").write_bytes(file.read_bytes())
    digest = content_sha256(tmp_path / "a")
    assert content_sha256(str(tmp_path / "b")) == digest
    assert content_sha256(find_scans(tmp_path / "a", BRATS)[0]["t1"]) == digest
    files[0].write_bytes(files[0].read_bytes() + b"\0")
    assert content_sha256(tmp_path / "a") != digest
    with pytest.raises(InputError, match=r"absent.nii cannot be read"):
        content_sha256(tmp_path / "absent.nii")


def test_descriptions_leave_out_the_folder(tmp_path: Path) -> None:
    write_series(tmp_path / SECRET_NAME, SeriesDescription="T1")
    assert describe(str(tmp_path / SECRET_NAME)) == 'DICOM series "T1"'
    assert describe(tmp_path / "case_t1.nii.gz") == "case_t1.nii.gz"
