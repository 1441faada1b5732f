"""The document of the raw-like test as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = Sequence[str]


def as_markdown(document: Mapping[str, Any]) -> str:
    """All tables."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Raw-like scans of {document['case']}"
    yield ""
    yield f"{document['notice']} The scans are made from a clean case: motion, grids, head and noise are simulated."
    yield f"Model {document['model']}, head {document['head']}, seed {document['seed']}, noise {document['noise']:g}."
    sections = {
        "Segmentation": _segmentation(document),
        "Registration": _registration(document),
        "Brain": _brain(document),
        "Native grids": _native(document),
        "Seconds": _seconds(document),
        "Warnings": _warnings(document),
    }
    for title, lines in sections.items():
        yield from ("", f"## {title}", "")
        yield from lines


def _segmentation(document: Mapping[str, Any]) -> Iterator[str]:
    regions = document["regions"]
    rows = [_row(run["title"], run, regions) for run in document["runs"].values()]
    alone = document["interpolation_alone"]
    rows.append(["the segmentation, to the reference grid and back", *_dice(alone, regions), *["-"] * len(regions)])
    header = [
        "Dice",
        *(f"{name} to segmentation" for name in regions),
        *(f"{name} to clean result" for name in regions),
    ]
    yield from _table(header, rows)


def _row(title: str, run: Mapping[str, Any], regions: Sequence[str]) -> Row:
    if run["problem"]:
        return [f"{title}: refused ({run['problem']})", *["-"] * 2 * len(regions)]
    return [title, *_dice(run.get("dice_to_segmentation"), regions), *_dice(run.get("dice_to_clean"), regions)]


def _dice(values: Mapping[str, float] | None, regions: Sequence[str]) -> list[str]:
    return [f"{values[name]:.3f}" if values else "-" for name in regions]


def _registration(document: Mapping[str, Any]) -> Iterator[str]:
    yield "Distance in mm between found and true place of the brain's voxels, mean (largest)."
    yield ""
    runs = {name: run for name, run in document["runs"].items() if run.get("registration")}
    rows = []
    for name, scan in document["scans"].items():
        grid = f"{'x'.join(f'{step:g}' for step in scan['spacing'])} {scan['plane']}"
        motion = (
            "reference" if name == document["reference"] else f"{scan['shift_mm']:.1f} mm, {scan['turn_degrees']:.1f}°"
        )
        errors = [run["registration"].get(name) for run in runs.values()]
        before = next((f"{error['before_mm']:.1f}" for error in errors if error), "-")
        after = [f"{error['mean_mm']:.2f} ({error['max_mm']:.2f})" if error else "-" for error in errors]
        rows.append([name, grid, f"{scan['correlation']:.3f}", motion, before, *after])
    header = ["sequence", "grid", "correlation, put back by the truth", "true motion", "before"]
    yield from _table([*header, *(run["title"] for run in runs.values())], rows)


def _brain(document: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        [run["title"], brain["tool"], f"{brain['dice']:.3f}"]
        + [f"{brain[key]:.0f}" for key in ("true_ml", "missed_ml", "extra_ml")]
        for run in document["runs"].values()
        if (brain := run.get("brain"))
    ]
    yield from _table(["run", "found by", "Dice", "true mL", "missed mL", "too much mL"], rows)


def _native(document: Mapping[str, Any]) -> Iterator[str]:
    regions = document["regions"]
    yield f"Round trip: how far the middle of {regions[0]} lies from that on the reference, at most along an axis."
    yield ""
    rows = []
    for run in document["runs"].values():
        for name, native in (run.get("native") or {}).items():
            trip = [native["round_trip_voxels"], native["round_trip_mm"]]
            figures = [
                *_dice(native["dice_to_segmentation"], regions),
                *("-" if x is None else f"{x:.2f}" for x in trip),
            ]
            rows.append([run["title"], name, *figures, "yes" if native["same_header"] else "NO"])
    yield from _table(["run", "sequence", *regions, "round trip, voxels", "mm", "on the scan's grid"], rows)


def _seconds(document: Mapping[str, Any]) -> Iterator[str]:
    runs = [run for run in document["runs"].values() if run["seconds"]]
    stages = list(dict.fromkeys(stage for run in runs for stage in run["seconds"]))
    rows = [
        [
            run["title"],
            *("-" if s is None else f"{s:.1f}" for s in [*map(run["seconds"].get, stages), run["all_seconds"]]),
        ]
        for run in runs
    ]
    yield from _table(["run", *stages, "all"], rows)


def _warnings(document: Mapping[str, Any]) -> Iterator[str]:
    told = dict.fromkeys(warning for run in document["runs"].values() for warning in run["warnings"])
    for warning in told:
        titles = [run["title"] for run in document["runs"].values() if warning in run["warnings"]]
        yield f"- {warning} ({'; '.join(titles)})"


def _table(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cells)} |"
