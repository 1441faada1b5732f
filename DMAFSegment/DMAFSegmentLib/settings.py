"""What a saved scene remembers of the panel: model, device, chosen volumes. Kept in the parameter node."""

from __future__ import annotations

from dataclasses import dataclass, field

from DMAFSegmentLib.geometry import Node

_INPUT_ROLE = "Input."


@dataclass
class Settings:
    """State of the panel. ``chosen`` names the sequences the user set by hand: detection leaves them alone."""

    model: str = ""
    device: str = "auto"
    all_subsets: bool = False
    inputs: dict[str, Node] = field(default_factory=dict)
    chosen: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, node: Node) -> Settings:
        """Read a parameter node; what it does not hold keeps its default."""
        named = {role.removeprefix(_INPUT_ROLE): node.GetNodeReference(role) for role in _input_roles(node)}
        return cls(
            model=node.GetParameter("Model"),
            device=node.GetParameter("Device") or "auto",
            all_subsets=node.GetParameter("AllSubsets") == "true",
            inputs={name: volume for name, volume in named.items() if volume is not None},
            chosen={name for name in node.GetParameter("ChosenByUser").split(",") if name},
        )

    def save(self, node: Node) -> None:
        """Write everything to a parameter node as one change."""
        changing = node.StartModify()
        node.SetParameter("Model", self.model)
        node.SetParameter("Device", self.device)
        node.SetParameter("AllSubsets", "true" if self.all_subsets else "false")
        node.SetParameter("ChosenByUser", ",".join(sorted(self.chosen)))
        for role in _input_roles(node):
            if role.removeprefix(_INPUT_ROLE) not in self.inputs:
                node.RemoveNodeReferenceIDs(role)
        for name, volume in self.inputs.items():
            node.SetNodeReferenceID(_INPUT_ROLE + name, volume.GetID())
        node.EndModify(changing)


def _input_roles(node: Node) -> list[str]:
    roles = [node.GetNthNodeReferenceRole(i) for i in range(node.GetNumberOfNodeReferenceRoles())]
    return [role for role in roles if role.startswith(_INPUT_ROLE)]
