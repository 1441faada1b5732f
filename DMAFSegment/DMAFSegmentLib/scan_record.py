"""What a run did with the scans, as a text of the scene: read back by the panel, saved with the scene."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import SCANS, companion
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.scans_event import Decision, ScansEvent


@dataclass(frozen=True)
class Movement:
    """How far the middle of a scan was moved (mm), and how much it was turned (degrees)."""

    distance_mm: float
    angle_deg: float

    def sentence(self) -> str:
        """For people."""
        text = _("Moved by {mm:.1f} mm, turned by {degrees:.1f} degrees.")
        return text.format(mm=self.distance_mm, degrees=self.angle_deg)


@dataclass(frozen=True)
class ScanRecord:
    """The worker's report on the scans, with the pictures themselves and the warnings that came with it.

    Attributes:
        titles: what people call the sequences, by name, in channel order.
        event: the report; the paths of its pictures are no longer valid.
        movements: of each moved sequence.
        pictures: PNG files by sequence.
    """

    titles: dict[str, str]
    event: ScansEvent
    movements: dict[str, Movement] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def write(self) -> str:
        """As text; :meth:`read` is the inverse."""
        event = self.event
        document = {
            "reference": event.reference,
            "titles": self.titles,
            "decisions": [vars(decision) for decision in event.decisions],
            "transforms": event.transforms,
            "movements": {name: vars(movement) for name, movement in self.movements.items()},
            "brain_tool": event.brain_tool,
            "brain_ml": event.brain_ml,
            "warnings": self.warnings,
            "pictures": {name: base64.b64encode(data).decode("ascii") for name, data in self.pictures.items()},
        }
        return json.dumps(document, indent=1)

    @classmethod
    def read(cls, text: str) -> ScanRecord:
        """The record in a text.

        Raises:
            ValueError: it is none, or damaged.
        """
        document = json.loads(text)
        try:
            return cls(
                {str(name): str(title) for name, title in document["titles"].items()},
                ScansEvent.read({**document, "pictures": {}}),
                {str(name): Movement(**movement) for name, movement in document["movements"].items()},
                {str(name): base64.b64decode(data) for name, data in document["pictures"].items()},
                tuple(map(str, document["warnings"])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("This text is no report on scans.") from error

    def lines(self) -> list[str]:
        """For people: one line per sequence, then the brain, then the warnings."""
        sequences = [self._line(name) for name in self.titles]
        whole = [decision for decision in self.event.decisions if decision.sequence is None]
        brain = [_sentence(decision) for decision in whole if decision.needed or decision.step != "bias"]
        warnings = [_("Warning: {text}").format(text=text) for text in self.warnings]
        return [line for line in [*sequences, *brain, self._brain(), *warnings] if line]

    def caption(self, name: str) -> str:
        """What the picture of a sequence shows."""
        text = _("{reference}, {moving}, both as a checkerboard")
        return text.format(reference=self._title(self.event.reference), moving=self._title(name))

    def _title(self, name: str) -> str:
        return self.titles.get(name, name)

    def _line(self, name: str) -> str:
        parts = [_("The reference.")] if name == self.event.reference else []
        for decision in self.event.decisions:
            if decision.sequence == name and (decision.needed or decision.step != "bias"):
                parts.append(_sentence(decision))
                if decision.step == "registration" and name in self.movements:
                    parts.append(self.movements[name].sentence())
        return f"{self._title(name)}: {' '.join(parts)}" if parts else ""

    def _brain(self) -> str:
        tool, volume = self.event.brain_tool, self.event.brain_ml
        if tool is None:
            return ""
        by = _("the mask") if tool == "mask" else tool
        if volume is None:
            return _("Brain: by {tool}.").format(tool=by)
        return _("Brain: {volume:.0f} mL, by {tool}.").format(volume=volume, tool=by)


def _sentence(decision: Decision) -> str:
    steps = {
        ("registration", True): _("Aligned"),
        ("registration", False): _("Not moved"),
        ("brain", True): _("Brain extracted"),
        ("brain", False): _("Brain not extracted"),
        ("bias", True): _("Brightness evened out"),
        ("bias", False): _("Brightness as it is"),
    }
    step, reason = steps.get((decision.step, decision.needed), decision.step), decision.reason.rstrip(".")
    return f"{step} ({reason})." if reason else f"{step}."


def pictures_of(event: ScansEvent) -> dict[str, bytes]:
    """The picture files, which are gone when the run ends; one that cannot be read is left out."""
    found: dict[str, bytes] = {}
    for name, path in event.pictures.items():
        with contextlib.suppress(OSError):
            found[name] = path.read_bytes()
    return found


def scan_record(scene: Any, result: Node | None) -> ScanRecord | None:
    """What the run of a result did with its scans; None when it did not say."""
    node = companion(scene, result, SCANS)
    try:
        return ScanRecord.read(node.GetText()) if node is not None else None
    except ValueError:  # damaged in the scene
        return None
