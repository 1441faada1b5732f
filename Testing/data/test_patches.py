"""Samples and their order: nothing hidden is read, and workers, ranks and interruptions change nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from DMAFTraining.data.augmentation import Augmentation, NoAugmentation, PaperAugmentation, StandardAugmentation
from DMAFTraining.data.batch import Batch
from DMAFTraining.data.patches import EpochSampler, PatchDataset, Sample, collate
from DMAFTraining.data.presence import PresenceRule, patient_manifest, presence_rule
from DMAFTraining.data.store import PatchStore


def dataset(
    store: PatchStore, rule: PresenceRule | None = None, augmentation: Augmentation | None = None, share: float = 0.5
) -> PatchDataset:
    return PatchDataset(
        store, rule or presence_rule(store, "pdt"), (6, 5, 4), augmentation or NoAugmentation(), share, seed=11
    )


def same(one: Sample, other: Sample) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("augmentation", [NoAugmentation(), PaperAugmentation(), StandardAugmentation(turn_share=1.0)])
def test_a_sample_shows_what_is_available_and_nothing_else(store: PatchStore, augmentation: Augmentation) -> None:
    patches = dataset(store, augmentation=augmentation)
    for step in range(12):
        sample = patches[(step, 0, step % 4)]
        assert sample.images.shape == (4, 6, 5, 4)
        assert (sample.images.dtype, sample.labels.dtype) == (np.float32, np.uint8)
        assert np.array_equal(sample.available, store.available[step % 4])
        assert not (sample.present & ~sample.available).any()
        assert sample.present.any()
        shown = sample.images.reshape(4, -1).any(axis=1)
        assert np.array_equal(shown, sample.available)
        assert set(np.unique(sample.labels)) <= {0, 1, 2, 3}


def test_hidden_content_is_not_read(store: PatchStore) -> None:
    exists = np.array([[0, 0, 1, 0]] * 4, bool)
    for case in "abd":
        for hidden in ("t1", "t1ce", "t2"):
            (store.path / case / f"{hidden}.npy").unlink(missing_ok=True)
    patches = dataset(store, PresenceRule("idt", exists), StandardAugmentation())
    for step in range(8):
        sample = patches[(step, 0, step % 4)]
        assert sample.available.tolist() == sample.present.tolist() == [False, False, True, False]


def test_a_sample_depends_on_seed_step_and_slot_only(store: PatchStore) -> None:
    patches = dataset(store, augmentation=StandardAugmentation(turn_share=0.5, noise_share=1.0))
    first = patches[(3, 1, 0)]
    patches[(9, 0, 2)]
    assert same(first, patches[(3, 1, 0)])
    assert not np.array_equal(first.images, patches[(3, 0, 0)].images)
    assert not np.array_equal(first.images, patches[(4, 1, 0)].images)


def test_foreground_patches_hold_a_label_and_every_class_gets_its_turn(store: PatchStore) -> None:
    always = dataset(store, share=1.0)
    assert all(always[(step, 0, 0)].labels.any() for step in range(40))
    # Patches of one voxel: class 1 has 1 of 180 labeled voxels and still a third of the patches.
    rule = always.rule
    point = PatchDataset(store, rule, (1, 1, 1), NoAugmentation(), 1.0, seed=11)
    seen = Counter(int(point[(step, 0, 0)].labels[0, 0, 0]) for step in range(300))
    assert sorted(seen) == [1, 2, 3]
    assert all(count == pytest.approx(100, abs=30) for count in seen.values())
    anywhere = PatchDataset(store, rule, (1, 1, 1), NoAugmentation(), 0.0, seed=11)
    hits = np.mean([anywhere[(step, 0, 0)].labels.any() for step in range(600)])
    assert hits == pytest.approx(180 / 960, abs=0.05)


def test_patches_stay_in_the_case_or_cover_it(store: PatchStore) -> None:
    """Cases have 10 x 12 x 8 voxels: the first axis is cut, the others are padded on both sides by turns."""
    patches = PatchDataset(store, presence_rule(store, "pdt"), (6, 14, 10), NoAugmentation(), 0.5, seed=1)
    starts = set()
    for step in range(80):
        brain = patches[(step, 0, 0)].images[0] != 0
        assert brain.any(axis=(1, 2)).all()
        for axis, whole in ((1, 12), (2, 8)):
            hit = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
            assert len(hit) == whole
            starts.add((axis, int(hit[0])))
    assert starts == {(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)}


def test_a_patch_of_the_wrong_kind_is_refused(store: PatchStore) -> None:
    with pytest.raises(ValueError, match="does not fit cases with 3 axes"):
        PatchDataset(store, presence_rule(store, "pdt"), (8, 8), NoAugmentation(), 0.5, seed=1)


def test_batches_do_not_depend_on_workers(store: PatchStore) -> None:
    batches = {}
    for workers in (0, 2):
        loader = DataLoader(
            dataset(store, augmentation=StandardAugmentation()),
            batch_sampler=EpochSampler(4, 3, seed=5, steps=3),
            collate_fn=collate,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
        )
        batches[workers] = list(loader)
    assert len(batches[0]) == 3
    for one, other in zip(batches[0], batches[2], strict=True):
        assert one.images.shape == (3, 4, 6, 5, 4)
        assert (one.labels.dtype, one.available.dtype, one.present.dtype) == (torch.uint8, torch.bool, torch.bool)
        for field in ("images", "labels", "available", "present"):
            assert torch.equal(getattr(one, field), getattr(other, field)), field


def test_pinning_leaves_the_masks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    zeros = torch.zeros(1, 2, 3, 3)
    masks = torch.zeros(1, 2, dtype=torch.bool)
    pinned = Batch(zeros, zeros[:, 0], masks, masks).pin_memory()
    assert (pinned.images.sum(), pinned.labels.sum()) == (18, 9)
    assert pinned.available is masks
    assert pinned.present is masks


@given(cases=st.integers(1, 12), batch=st.integers(1, 9), steps=st.integers(0, 30), seed=st.integers(0, 99))
def test_every_case_comes_once_before_any_comes_again(cases: int, batch: int, steps: int, seed: int) -> None:
    batches = list(EpochSampler(cases, batch, seed, steps))
    assert [len(keys) for keys in batches] == [batch] * steps
    assert [key[:2] for key in chain(*batches)] == [(step, slot) for step in range(steps) for slot in range(batch)]
    order = [case for _, _, case in chain(*batches)]
    for start in range(0, len(order) - cases + 1, cases):
        assert sorted(order[start : start + cases]) == list(range(cases))


@given(
    cases=st.integers(1, 9), share=st.integers(1, 4), world=st.integers(1, 4), steps=st.integers(1, 12), data=st.data()
)
def test_ranks_share_and_resumed_runs_go_on(
    cases: int, share: int, world: int, steps: int, data: st.DataObject
) -> None:
    batch = share * world
    alone = list(EpochSampler(cases, batch, 3, steps))
    ranks = [list(EpochSampler(cases, batch, 3, steps, rank=rank, world=world)) for rank in range(world)]
    assert [list(chain(*parts)) for parts in zip(*ranks, strict=True)] == alone
    start = data.draw(st.integers(0, steps))
    resumed = EpochSampler(cases, batch, 3, steps, start_step=start)
    assert list(resumed) == alone[start:]
    assert len(resumed) == steps - start


def test_epochs_differ_and_seeds_differ() -> None:
    orders = [[key[2] for keys in EpochSampler(50, 10, seed, 15) for key in keys] for seed in (1, 2)]
    epochs = [orders[0][0:50], orders[0][50:100], orders[0][100:150], orders[1][:50]]
    assert all(one != other for one, other in pairwise(epochs))
    assert EpochSampler(50, 10, 1, 0).steps_per_epoch == 5
    assert EpochSampler(51, 10, 1, 0).steps_per_epoch == 6
    with pytest.raises(ValueError, match="cannot be shared equally by 3"):
        EpochSampler(50, 10, 1, 5, world=3)


def test_fixed_presence_is_the_same_in_every_epoch(store: PatchStore) -> None:
    rule = presence_rule(store, "idt", (0.5, 0.1, 0.2, 0.3), seed=3)
    rng = np.random.default_rng(0)
    for case in range(4):
        rows = [rule.draw(case, rng) for _ in range(5)]
        assert all(np.array_equal(a, rule.exists[case]) and np.array_equal(p, a) for a, p in rows)
    assert not (rule.exists & ~store.available).any()
    assert rule.exists.any(axis=1).all()


def test_random_presence_hides_by_rate_and_never_invents(store: PatchStore) -> None:
    rng = np.random.default_rng(0)
    rule = presence_rule(store, "rates", (0.0, 0.5, 0.5, 0.5))
    rows = np.array([rule.draw(1, rng)[0] for _ in range(300)])
    assert not rows[:, 0].any()  # b has no T1
    assert len(np.unique(rows, axis=0)) == 7
    full = presence_rule(store, "pdt")
    available, present = full.draw(0, rng)
    assert available.all()
    assert len({tuple(full.draw(0, rng)[1]) for _ in range(400)}) == 15
    dropped = replace(full, setting="idt", drop=True)
    pairs = [dropped.draw(0, rng) for _ in range(400)]
    assert all(np.array_equal(a, p) for a, p in pairs)
    assert len({tuple(a) for a, _ in pairs}) == 15
    assert present.any()


def test_weights_count_what_training_shows(store: PatchStore) -> None:
    assert presence_rule(store, "pdt").weights() == (2.0, 4 / 3, 1.0, 4 / 3)
    # b, c and d: T1 exists in d only and shows there with probability 0.5 / (1 - 0.5^4).
    rule = presence_rule(store.select("bcd"), "rates", (0.5,) * 4)
    assert rule.weights()[0] == pytest.approx(3 / (0.5 / (1 - 0.5**4)))
    rng = np.random.default_rng(0)
    shown = np.mean([rule.draw(case, rng)[0] for _ in range(4000) for case in range(3)], axis=0)
    assert 1 / shown == pytest.approx(rule.weights(), rel=0.06)


def test_a_manifest_stands_in_place_of_a_draw(store: PatchStore) -> None:
    full = dict.fromkeys("abcd", (True, False, True, False))
    rule = presence_rule(
        store.select("abcd"), "idt", manifest={**full, "c": (False, True, False, True), "d": (True,) * 4}
    )
    # c has FLAIR only, which its row hides: it keeps what it has.
    assert rule.exists.astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 1, 1]]
    with pytest.raises(ValueError, match="No training case shows t1ce, t2"):
        presence_rule(store.select("ab"), "idt", manifest=full)
    with pytest.raises(ValueError, match="no row for d"):
        presence_rule(store, "idt", manifest={name: full[name] for name in "abc"})
    with pytest.raises(ValueError, match="2 missing rates were given for 4 sequences"):
        presence_rule(store, "idt", (0.5, 0.5))


def test_all_slices_of_a_patient_miss_the_same_sequences(store: PatchStore) -> None:
    """MyoPS 2020 as published, patients 101 (all) and 102 (T2 only)."""
    names = [f"myops_training_{number}_slice_{k}" for number in (101, 102) for k in range(2)]
    cases = tuple(
        replace(case, name=name, patient=name[:18], available=("bssfp", "lge", "t2"))
        for case, name in zip(store.cases, names, strict=True)
    )
    hearts = PatchStore(store.path, replace(store.index, cases=cases))
    assert patient_manifest(hearts, (0.3, 0.5, 0.7)).astype(int).tolist() == [[1, 1, 1]] * 2 + [[0, 0, 1]] * 2
    drawn = patient_manifest(hearts, (0.4, 0.5, 0.7), seed=1)
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[2], drawn[3])
