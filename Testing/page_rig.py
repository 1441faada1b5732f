"""A comparison page read back with an HTML parser, and result folders with label maps a person can count."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from DMAFTraining.evaluation.content import Case, Content, load_content
from DMAFTraining.inference.comparison import region_dice, region_volumes
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.inference.metadata import BundleMetadata
from DMAFTraining.modalities import BRATS
from tiny import head_grid, head_volume, tiny_metadata

GRID = head_grid()
VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})


class Page(HTMLParser):
    """Everything the tests ask about a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.results: list[list[str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.said: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "a tag was left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag in VOID:
            return
        self._open.append((tag, attributes.get("class") or ""))
        if self._inside("figure", "result") and tag == "figure":
            self.results.append([])
        if tag == "div" and "scroll" in self._open[-1][1]:
            self.tables[attributes["aria-label"] or ""] = []
        if self._inside("div", "scroll") and tag == "tr":
            self._table.append([])
        if self._inside("div", "scroll") and tag in ("td", "th"):
            self._table[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if not data.strip() or self._inside("style") or self._inside("script"):
            return
        self.said.append(data)
        if self._inside("figure", "result"):
            self.results[-1].append(data)
        if self._inside("div", "scroll"):
            self._table[-1][-1] = data

    @property
    def _table(self) -> list[list[str]]:
        return list(self.tables.values())[-1]

    def _inside(self, tag: str, name: str = "") -> bool:
        return any(opened == tag and name in classes for opened, classes in self._open)

    def pictures(self) -> list[np.ndarray]:
        """All pictures of the page as uint8 RGB."""
        sources = [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]
        head = "data:image/png;base64,"
        assert all(source.startswith(head) for source in sources)
        pixels = [imread(io.BytesIO(base64.b64decode(source[len(head) :]))) for source in sources]
        return [np.rint(255 * image[..., :3]).astype(np.uint8) for image in pixels]


def write(path: Path, array: np.ndarray, grid: Grid = GRID) -> Path:
    sitk.WriteImage(to_image(array, grid), str(path))
    return path


def block(start: int, stop: int) -> np.ndarray:
    """Labels 2, 3 and 1 side by side in a block on the patient's left; ``start`` to ``stop`` along the front."""
    labels = np.zeros(GRID.size, np.uint8)
    for number, value in enumerate((2, 3, 1)):
        labels[8 + 3 * number : 11 + 3 * number, start:stop, 16:22] = value
    return labels


def stored_results(folder: Path, metadata: BundleMetadata, maps: list[tuple[list[str], np.ndarray]]) -> Path:
    """A result folder with known label maps."""
    folder.mkdir()
    listed = {}
    for names, labels in maps:
        title = str(metadata.modalities.subset(names))
        listed[title] = {
            "subset": names,
            "file": write(folder / f"labels_{title}.nii.gz", labels).name,
            "volumes_ml": region_volumes(labels, metadata.regions, GRID.voxel_ml),
            "dice_to_fullest": region_dice(labels, maps[0][1], metadata.regions),
        }
    model = {"name": metadata.name, "version": metadata.version}
    labels = {str(label.value): label.name for label in metadata.labels}
    regions = [{"name": r.name, "title": r.title, "labels": list(r.labels)} for r in metadata.regions]
    document = {"model": model, "labels": labels, "regions": regions, "results": listed}
    (folder / "provenance.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", name="images")
def images_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    return {
        name: write(folder / f"{name}.nii.gz", head_volume(GRID, seed).array)
        for seed, name in enumerate((*BRATS.names, "bssfp", "lge"))
    }


def known_content(tmp_path: Path, images: dict[str, Path], with_truth: bool = False) -> Content:
    maps = [(["t1", "t2"], block(26, 36)), (["t1"], block(26, 32)), (["t2"], np.zeros(GRID.size, np.uint8))]
    truth = write(tmp_path / "truth.nii.gz", block(26, 36)) if with_truth else None
    case = Case({name: images[name] for name in ("t1", "t2")}, truth)
    metadata = tiny_metadata()
    return load_content(stored_results(tmp_path / "known", metadata, maps), metadata, case)
