"""Which DICOM series is which sequence of a model, and which one to take of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.scans.dicom import DicomSeries, Header
from DMAFTraining.inference.scans.series_image import series_stack
from DMAFTraining.inference.scans.stack import Stack, StackError
from DMAFTraining.inference.sequence_names import Confidence, Finding, find_sequence, other_image
from DMAFTraining.modalities import ModalitySet

_IMAGE_TYPE, _MODALITY, _SERIES_NUMBER = "0008,0008", "0008,0060", "0020,0011"
_PATIENT, _PATIENT_NAME, _STUDY_DATE = "0010,0020", "0010,0010", "0008,0020"
# Values of Image Type that tell of no image of a sequence (PS3.3, C.7.6.1.1.2, C.8.3.1.1.1 and vendors' own).
_OTHER_KINDS = {
    *("LOCALIZER", "PROJECTION IMAGE", "MIP", "MINIP", "MNIP", "MPR THICK", "SUBTRACTION", "SUB", "P", "PHASE MAP"),
    *("ADC", "ADC_UNSPECIFIED", "DIFFUSION", "TRACEW", "FA", "CSA MPR THICK", "T1 MAP", "T2 MAP", "R2 MAP", "MOSAIC"),
    *("VELOCITY", "PERFUSION", "SCREEN SAVE", "ERROR"),
}


@dataclass(frozen=True)
class Candidate:
    """A series that may be used for a sequence."""

    series: DicomSeries
    header: Header
    stack: Stack
    finding: Finding

    @property
    def derived(self) -> bool:
        """Computed from other images, such as a reformat."""
        return self.header.text(_IMAGE_TYPE).split("\\")[0] == "DERIVED"

    @property
    def resolution(self) -> str:
        """For people: the edges of its voxels."""
        return " x ".join(f"{edge:.2g}" for edge in self.stack.spacing) + " mm"

    def rank(self) -> tuple[bool, bool, float, float, int, float]:
        """The best has the highest: sure, original, well resolved, clearly named, repeated last.

        Resolution is that of the longest edge of a voxel, then its volume, both to a tenth: a 3-D image of 1 mm beats
        slices of 5 mm, however fine these are in their planes.
        """
        edges = self.stack.spacing
        volume = edges[0] * edges[1] * edges[2]
        number = self.header.numbers(_SERIES_NUMBER)
        sure = self.finding.confidence > Confidence.LOW
        last = number[0] if number else 0.0
        return sure, not self.derived, -round(max(edges), 1), -round(volume, 1), self.finding.best.strength, last


def choose_series(
    folder: Path, found: Mapping[DicomSeries, tuple[Header, ...]], modalities: ModalitySet
) -> tuple[dict[str, DicomSeries], list[str]]:
    """The best series of each sequence, and sentences on what was taken for what and what was left out.

    Raises:
        InputError: the candidates are of several patients or of several days.
    """
    notes, candidates = [], []
    for series, headers in found.items():
        candidate, why_not = _judge(series, headers, modalities)
        if candidate is None:
            notes.append(f'Left out: DICOM series "{series.description}", because {why_not}.')
        else:
            candidates.append(candidate)
    _check_one_examination(folder, candidates)
    chosen: dict[str, DicomSeries] = {}
    told: list[str] = []
    for modality in modalities:
        group = sorted((c for c in candidates if c.finding.modality == modality.name), key=Candidate.rank)
        if group:
            chosen[modality.name] = group[-1].series
            told.append(_taken(modality.title, group[-1]))
            told += [_beaten(rival, group[-1], modality.title) for rival in group[:-1]]
    return chosen, told + notes


def _judge(series: DicomSeries, headers: Sequence[Header], modalities: ModalitySet) -> tuple[Candidate | None, str]:
    """A candidate, or why the series is none, as words that follow "because"."""
    header = headers[0]
    kind = header.text(_MODALITY)
    if kind not in ("", "MR"):
        return None, f"it is no MR image ({kind})"
    strange = sorted(_OTHER_KINDS & set(header.text(_IMAGE_TYPE).split("\\")))
    if strange:
        return None, f"its images are of another kind ({', '.join(strange)})"
    word = other_image("", header.text)
    if word:
        return None, f'it is called "{word}"'
    finding = find_sequence("", header.text, modalities)
    if finding is None:
        return None, "it is unclear which sequence it is"
    try:
        return Candidate(series, header, series_stack(headers), finding), ""
    except StackError as problem:
        return None, f"it {problem}"


def _check_one_examination(folder: Path, candidates: Sequence[Candidate]) -> None:
    patients = {c.header.text(_PATIENT) or c.header.text(_PATIENT_NAME) for c in candidates}
    if len(patients) > 1:
        raise InputError(f"{folder} holds DICOM series of {len(patients)} patients.", "Give the folder of one patient.")
    days = {c.header.text(_STUDY_DATE) for c in candidates}
    if len(days) > 1:
        raise InputError(
            f"{folder} holds DICOM series of {len(days)} examinations on different days.",
            "Give the folder of one examination.",
        )


def _taken(title: str, choice: Candidate) -> str:
    sure = choice.finding.confidence.name.lower()
    text = f'{title}: DICOM series "{choice.series.description}" ({choice.stack.size[2]} slices, {choice.resolution})'
    text += f", because of {choice.finding.reason()} ({sure} confidence)."
    return text + (" Please check it." if choice.finding.confidence is Confidence.LOW else "")


def _beaten(rival: Candidate, winner: Candidate, title: str) -> str:
    """Why a series was left out for a better one: the first thing in which they differ."""
    reasons = (
        "whose sequence is surer",
        "which is no derived image",
        f"which is better resolved ({winner.resolution} instead of {rival.resolution})",
        f"which is better resolved ({winner.resolution} instead of {rival.resolution})",
        "which is more clearly named",
        "which was acquired later",
        "which comes later",
    )
    differing = [mine != best for mine, best in zip(rival.rank(), winner.rank(), strict=True)] + [True]
    why = reasons[differing.index(True)]
    return (
        f'Left out: DICOM series "{rival.series.description}", because {title} is taken from'
        f' "{winner.series.description}", {why}.'
    )
