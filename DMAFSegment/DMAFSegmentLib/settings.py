"""What a saved scene remembers of the panel: model, device, chosen volumes. Kept in the parameter node."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.scan_request import BRAINS, REGISTRATIONS
from DMAFSegmentLib.subset_choice import ALL, SubsetChoice

_INPUT_ROLE = "Input."
_MASK_ROLE = "BrainMask"
_CHOSEN = "ChosenByUser"
_OLD_ALL_SUBSETS = "AllSubsets"  # scenes before "Subsets": a box for every subset or the fullest only
_EMPTY = "-"  # before the name of a sequence that the user set to None
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Kind:
    """One type of setting and its text in the parameter node; ``read`` raises ValueError for other text."""

    type: type
    write: Callable[[Any], str]
    read: Callable[[str], Any]

    def check(self, name: str, value: object) -> None:
        """Refuse what could not be read back.

        Raises:
            TypeError: another type.
            ValueError: the right type, but not one of the allowed values.
        """
        if type(value) is not self.type:
            raise TypeError(f"The setting {name} is a {self.type.__name__}, not {value!r}.")
        if self.read(self.write(value)) != value:
            raise ValueError(f"{value!r} is not a value of the setting {name}.")


def _read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"'{text}' is neither true nor false.")
    return text == "true"


def _one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"'{text}' is none of {', '.join(allowed)}.")
        return text

    return read


def _read_device(text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise ValueError(f"'{text}' is no device. Use auto, cpu, cuda, cuda:0 or mps.")
    return text


TEXT = Kind(str, str, str)
FLAG = Kind(bool, lambda value: "true" if value else "false", _read_flag)
DEVICE = Kind(str, str, _read_device)
REGISTRATION = Kind(str, str, _one_of(REGISTRATIONS))
BRAIN = Kind(str, str, _one_of(BRAINS))
SUBSETS = Kind(SubsetChoice, SubsetChoice.write, SubsetChoice.read)


def stored(parameter: str, kind: Kind, default: Any) -> Any:
    """A field that is kept under the name ``parameter``."""
    return field(default=default, metadata={"parameter": parameter, "kind": kind})


@dataclass
class Settings:
    """State of the panel. ``chosen`` names the sequences the user set by hand: detection leaves them alone.

    Not made with ``slicer.parameterNodeWrapper``: it needs its fields in advance, while the inputs are one node
    reference per sequence of whichever model is chosen (its ``dict`` would number them instead of naming them).

    Raises:
        TypeError, ValueError: a setting that could not be read back.
    """

    model: str = stored("Model", TEXT, "")
    device: str = stored("Device", DEVICE, "auto")
    subsets: SubsetChoice = stored("Subsets", SUBSETS, SubsetChoice())  # noqa: RUF009 - a field, of a frozen class
    inputs: dict[str, Node] = field(default_factory=dict)
    chosen: set[str] = field(default_factory=set)
    regions: bool = stored("Regions", FLAG, False)
    uncertainty: bool = stored("Uncertainty", FLAG, False)
    agreement: bool = stored("Agreement", FLAG, False)
    contribution: bool = stored("Contribution", FLAG, False)
    replace: bool = stored("ReplaceResults", FLAG, False)
    registration: str = stored("Registration", REGISTRATION, "auto")
    brain: str = stored("Brain", BRAIN, "auto")
    mask: Node | None = None
    bias: bool = stored("BiasCorrection", FLAG, False)
    native: bool = stored("NativeGrids", FLAG, False)

    def __post_init__(self) -> None:
        for parameter, name, kind in _scalars():
            kind.check(parameter, getattr(self, name))

    @classmethod
    def load(cls, node: Node) -> Settings:
        """Read a parameter node; what it does not hold, or holds in another form, keeps its default.

        A volume that is gone is left out, and its sequence is free for detection again.
        """
        values: dict[str, Any] = {"subsets": SubsetChoice(ALL)} if node.GetParameter(_OLD_ALL_SUBSETS) == "true" else {}
        for parameter, name, kind in _scalars():
            with contextlib.suppress(ValueError):
                if text := node.GetParameter(parameter):
                    values[name] = kind.read(text)
        named = {role.removeprefix(_INPUT_ROLE): node.GetNodeReference(role) for role in _input_roles(node)}
        inputs = {name: volume for name, volume in named.items() if volume is not None}
        marks = [mark for mark in node.GetParameter(_CHOSEN).split(",") if mark]
        chosen = {mark.removeprefix(_EMPTY) for mark in marks if mark.startswith(_EMPTY) or mark in inputs}
        return cls(**values, inputs=inputs, chosen=chosen, mask=node.GetNodeReference(_MASK_ROLE))

    def save(self, node: Node) -> None:
        """Write everything to a parameter node as one change."""
        changing = node.StartModify()
        for parameter, name, kind in _scalars():
            node.SetParameter(parameter, kind.write(getattr(self, name)))
        node.UnsetParameter(_OLD_ALL_SUBSETS)
        marks = [name if name in self.inputs else _EMPTY + name for name in sorted(self.chosen)]
        node.SetParameter(_CHOSEN, ",".join(marks))
        for role in _input_roles(node):
            if role.removeprefix(_INPUT_ROLE) not in self.inputs:
                node.RemoveNodeReferenceIDs(role)
        for name, volume in self.inputs.items():
            node.SetNodeReferenceID(_INPUT_ROLE + name, volume.GetID())
        node.SetNodeReferenceID(_MASK_ROLE, self.mask.GetID() if self.mask is not None else None)
        node.EndModify(changing)


def _scalars() -> list[tuple[str, str, Kind]]:
    """Parameter name, attribute name and kind of every setting that is one text in the node."""
    return [(f.metadata["parameter"], f.name, f.metadata["kind"]) for f in fields(Settings) if f.metadata]


def _input_roles(node: Node) -> list[str]:
    roles = [node.GetNthNodeReferenceRole(i) for i in range(node.GetNumberOfNodeReferenceRoles())]
    return [role for role in roles if role.startswith(_INPUT_ROLE)]
