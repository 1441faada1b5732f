"""A patch is what it says, and costs no more than it should."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from DMAFTraining.data.store import PatchStore

CORNER = st.tuples(*[st.integers(-20, 20)] * 3)
SIZE = st.tuples(*[st.integers(1, 15)] * 3)


def test_contents(store: PatchStore) -> None:
    assert store.names == store.patients == ("a", "b", "c", "d")
    assert store.available.astype(int).tolist() == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]]
    assert (store.spacing, store.simulated, store.spec.name) == ((1.0, 1.0, 1.0), False, "brats")
    images, labels = store.read_case(2)
    assert (images.shape, images.dtype) == ((4, 10, 12, 8), np.float32)
    assert (labels.shape, labels.dtype) == ((10, 12, 8), np.uint8)
    assert images[2].any()
    assert not images[[0, 1, 3]].any()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(start=CORNER, size=SIZE)
def test_a_patch_is_the_padded_volume_cut(store: PatchStore, start: tuple[int, ...], size: tuple[int, ...]) -> None:
    images, labels = store.read_case(1)
    pad = [(0, 0), *[(20, 40)] * 3]
    cut = tuple(slice(20 + low, 20 + low + n) for low, n in zip(start, size, strict=True))
    found, found_labels = store.read_patch(1, start, size, [3, 1])
    assert np.array_equal(found, np.pad(images, pad)[(slice(None), *cut)][[3, 1]])
    assert np.array_equal(found_labels, np.pad(labels, pad[1:])[cut])


def test_only_the_asked_for_sequences_are_opened(store: PatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, object]] = []
    load = np.load

    def watched(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append((Path(path).name, options.get("mmap_mode")))
        return load(path, *arguments, **options)

    monkeypatch.setattr(np, "load", watched)
    store.read_patch(0, (0, 0, 0), (4, 4, 4), [2])
    assert sorted(opened) == [("flair.npy", "r"), ("seg.npy", "r")]
    (store.path / "a" / "t1.npy").unlink()
    store.read_patch(0, (0, 0, 0), (4, 4, 4), [1, 2, 3])
    with pytest.raises(ValueError, match=r"t1\.npy cannot be read"):
        store.read_patch(0, (0, 0, 0), (4, 4, 4), [0])


def test_a_missing_sequence_cannot_be_read(store: PatchStore) -> None:
    with pytest.raises(ValueError, match="Case b has no t1; it has t1ce, flair, t2"):
        store.read_patch(1, (0, 0, 0), (2, 2, 2), [0])


def test_memory_holds_the_same(store: PatchStore) -> None:
    held = PatchStore.open(store.path, in_memory=True)
    wanted = [store.read_case(case) for case in range(4)]
    for name in store.names:
        shutil.rmtree(store.path / name)
    for case, (images, labels) in enumerate(wanted):
        found, found_labels = held.read_case(case)
        assert np.array_equal(found, images)
        assert np.array_equal(found_labels, labels)
    with pytest.raises(ValueError, match="lacks 4 of its cases"):
        PatchStore.open(store.path)


def test_a_selection_keeps_the_order_of_the_store(store: PatchStore) -> None:
    part = store.select(["d", "b"])
    assert part.names == ("b", "d")
    assert part.available.tolist() == store.available[[1, 3]].tolist()
    assert np.array_equal(part.read_case(1)[0], store.read_case(3)[0])
    with pytest.raises(ValueError, match="no case 'x'"):
        store.select(["x"])
