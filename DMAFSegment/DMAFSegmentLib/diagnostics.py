"""The report a user may send: versions, parameters, device and log, without anything that names a patient.

Two things protect the patient. What is known to be private (names of volumes, their files, DICOM tags, the user)
is replaced wherever it appears. What merely looks private (paths, file names, dates, DICOM identifiers) is replaced
too: rather too much than too little.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.protocol import parse_line

_SHORTEST_WORD = 3  # shorter parts of names ("t1", "M") would blacken half of the report
_SHORTEST_NUMBER = 5
_COMMON_WORDS = frozenset({"home", "users", "tmp", "temp", "data", "documents", "desktop", "nii", "nrrd", "image"})
_PUBLIC_FOLDERS = ("site-packages", "DMAFTraining", "DMAFSegmentLib", "DMAFSegment")
_IMAGE_FILE = r"[^\s'\"/\\]+\.(?:nii\.gz|nii|nrrd|nhdr|mha|mhd|dcm|ima|mrb|mrml|img|hdr|par|rec)\b"
_QUOTED_PATH = r"""(?P<quote>["'])(?P<path>(?:[A-Za-z]:|~)?[\\/]{1,2}[^"'\n]*)(?P=quote)"""
_OPEN_PATH = r"(?<![\w<>.:/\\])(?:[A-Za-z]:[\\/]|~[\\/]|/|\\\\)(?=[^\s/\\]).*"  # spaces in it are possible: to the end
_IDENTIFIER = r"\b\d+(?:\.\d+){5,}\b"
_DATE = r"(?<!\d)(?:19|20)\d{2}[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
_EVENT_FIELDS = (
    *("event", "elapsed_s", "stage", "fraction", "message", "eta_s", "protocol", "versions", "model", "device"),
    *("subset", "subsets", "title", "volumes_ml", "dice_to_fullest", "code", "kind", "hint", "seconds"),
)
_PATIENT_TAGS = ("0010,0010", "0010,0020", "0010,0030", "0008,0050", "0008,0080", "0008,0090", "0020,0010")


class Anonymizer:
    """Replaces what is private in a text.

    ``private`` are the texts that are known to be: each is replaced as a whole and word by word, except the words in
    ``public`` (names of sequences, for example) and words of file names that everybody has.
    """

    def __init__(self, private: Iterable[str], public: Iterable[str] = ()) -> None:
        texts = {text.strip() for text in private}
        allowed = {word.lower() for word in public} | _COMMON_WORDS
        words = {word for text in texts for word in re.split(r"[\W_]+", text)}
        kept = {word for word in words if not word.isdigit() or len(word) >= _SHORTEST_NUMBER}
        secrets = {text for text in texts | kept if len(text) >= _SHORTEST_WORD and text.lower() not in allowed}
        paths = {text for text in secrets if re.search(r"[\\/]", text)}
        self._paths = _any_of(paths)
        self._names = _any_of(secrets - paths)

    def __call__(self, text: str) -> str:
        """The text without private parts."""
        return "\n".join(self._line(line) for line in text.splitlines())

    def value(self, value: Any) -> Any:
        """A JSON value whose texts are without private parts."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.value(entry) for key, entry in value.items()}
        return [self.value(entry) for entry in value] if isinstance(value, list) else value

    def _line(self, line: str) -> str:
        line = self._paths.sub("<path>", line)
        line = re.sub(_QUOTED_PATH, lambda match: f'"{_public_part(match["path"])}"', line)
        line = re.sub(_OPEN_PATH, "<path>", line)
        line = re.sub(_IMAGE_FILE, "<file>", line, flags=re.IGNORECASE)
        line = re.sub(_DATE, "<date>", re.sub(_IDENTIFIER, "<id>", line))
        return self._names.sub("<private>", line)


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(_pattern, longest_first)) or r"(?!)", re.IGNORECASE)


def _pattern(text: str) -> str:
    """A long word is private inside others too ("roejane"); a short one on its own, as "Roe" in "JaneRoe_01"."""
    if len(text) > _SHORTEST_WORD:
        return re.escape(text)
    starts = r"(?:(?<![^\W\d_])|(?<=(?-i:[a-z]))(?=(?-i:[A-Z])))"
    ends = r"(?:(?![^\W\d_])|(?=(?-i:[A-Z])))"
    return starts + re.escape(text) + ends


def _public_part(path: str) -> str:
    """The end of a path that lies in a program's folder (a traceback needs it), else nothing of it."""
    parts = re.split(r"[\\/]+", path)
    start = next((index for index, part in enumerate(parts) if part in _PUBLIC_FOLDERS), None)
    return "/".join(["<path>", *parts[start:]]) if start is not None and path.endswith(".py") else "<path>"


def public_line(line: str, anonymize: Anonymizer) -> str:
    """A log line for a report: of an event only the fields that hold no paths."""
    event = parse_line(line)
    if event is None:
        return anonymize(line)
    kept = {key: anonymize.value(value) for key, value in event.items() if key in _EVENT_FIELDS}
    return json.dumps(kept, ensure_ascii=False)


def private_texts(nodes: Iterable[Node], tag: Any = None) -> set[str]:
    """What names a patient or a user: names of the volumes, their files, DICOM tags, the user and the computer.

    ``tag(node, "gggg,eeee")`` reads a DICOM tag of a volume.
    """
    texts = {Path.home().name, platform.node()}
    for node in nodes:
        texts.add(node.GetName() or "")
        storage = node.GetStorageNode()
        if storage is not None and storage.GetFileName():
            texts.add(storage.GetFileName())
            texts.update(Path(storage.GetFileName()).parts[1:])
        if tag is not None:
            texts.update(tag(node, name) for name in _PATIENT_TAGS)
    return {text for text in texts if text}


def image_sizes(inputs: Mapping[str, Node]) -> dict[str, str]:
    """Size and spacing of each volume, such as ``"240x240x155, 1 x 1 x 1 mm"``."""
    sizes = {}
    for name, node in inputs.items():
        image = node.GetImageData()
        size = "x".join(map(str, image.GetDimensions())) if image is not None else "no image"
        sizes[name] = f"{size}, " + " x ".join(f"{step:.4g}" for step in node.GetSpacing()) + " mm"
    return sizes


def make_report(
    ending: str,
    versions: Mapping[str, Any],
    parameters: Mapping[str, Any],
    log: Sequence[str],
    anonymize: Anonymizer,
) -> str:
    """Text for a problem report.

    ``ending`` says how the run ended; ``parameters`` hold no names; everything passes through ``anonymize`` except
    the versions, which a program wrote.
    """
    lines = [
        _("DMAF Segment problem report (names, paths, dates and identifiers were removed; please read it through)"),
        "",
        anonymize(ending),
        "",
        *(f"{name}: {value}" for name, value in versions.items()),
        "",
        *(anonymize(f"{name}: {value}") for name, value in parameters.items()),
        "",
        *(public_line(line, anonymize) for line in log),
    ]
    return "\n".join(lines) + "\n"
