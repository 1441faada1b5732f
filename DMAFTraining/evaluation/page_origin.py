"""Where the results of a page come from: model, files, program, as the provenance says."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_FIELDS = {"created": "Segmented", "device": "Device", "precision": "Precision", "reference": "Grid of"}


def origin_body(provenance: Mapping[str, Any]) -> str:
    """A list of what is known; an older or shorter provenance gives a shorter list."""
    facts = dict(_facts(provenance))
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n' for name, text in facts.items()
    )
    return f'<table class="facts"><tbody>\n{rows}</tbody></table>\n'


def _facts(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    model = provenance["model"]
    facts = [("Model", f"{model['name']} {model['version']}")]
    if digest := model.get("sha256"):
        facts.append(("SHA-256 of the model", str(digest)))
    for name, source in provenance.get("inputs", {}).items():
        facts.append((f"Image {name}", f"{source['file']}, SHA-256 {source['sha256']}"))
    facts += [(title, str(provenance[key])) for key, title in _FIELDS.items() if key in provenance]
    if program := provenance.get("program"):
        versions = ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items())
        facts.append(("Program", f"{program['name']} {program['version']} ({versions})"))
    if warnings := provenance.get("warnings"):
        facts.append(("Warnings", " ".join(warnings)))
    return facts
