"""The engine: order of work, what it keeps, precision, and what it gives up when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from DMAFTraining.inference import memory
from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.errors import Cancelled, InputError, OutOfMemoryError
from DMAFTraining.inference.memory import HOST, Need, Plan, case_need, is_out_of_memory, plan_work, step_down
from DMAFTraining.inference.precision import choose_precision, has_bf16
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import NETWORKS, build_network
from tiny import TINY, tiny_network

WINDOW = (32, 32, 32)
SUBSETS = [BRATS.flags(subset) for subset in BRATS.subsets()[::-2]]  # 8 of 15, the fullest first
PLENTY = 2**40
OTHER = torch.device("cpu:0")  # the processor, but not equal to HOST: stands for a GPU
CPU_FULL = "[enforce fail at alloc_cpu.cpp:1] data. DefaultCPUAllocator: can't allocate memory: you tried ..."


class Watch:
    """Counts the calls of a network, and lets some of them fail."""

    def __init__(self, error: Callable[[], BaseException] = RuntimeError, failing: tuple[int, ...] = ()) -> None:
        self.network = tiny_network()
        self.calls: list[str] = []
        self._error = error
        self._failing = failing
        for name in ("encode", "decode"):
            setattr(self.network, name, self._wrapped(name, getattr(self.network, name)))

    def _wrapped(self, name: str, work: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Tensor) -> Tensor:
            self.calls.append(name)
            if len(self.calls) in self._failing:
                raise self._error()
            return work(*arguments)

        return call


def _images(size: tuple[int, ...] = (56, 32, 32)) -> Tensor:
    return torch.randn(4, *size, generator=torch.Generator().manual_seed(3))  # three windows


def _run(engine: Engine, subsets: list[tuple[bool, ...]] = SUBSETS) -> Tensor:
    return torch.stack(list(engine.probabilities(_images(), subsets, WINDOW, 0.5)))


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows of these tests are small enough to go together; here they do not."""
    monkeypatch.setattr(memory, "_SMALL_WORK", 0)


@pytest.fixture(scope="module")
def expected() -> Tensor:
    """Each subset in a run of its own."""
    return torch.cat([_run(Engine(tiny_network()), [subset]) for subset in SUBSETS])


@pytest.mark.usefixtures("one_by_one")
def test_with_memory_each_window_is_encoded_once_and_subsets_come_one_by_one(expected: Tensor) -> None:
    watch = Watch()
    results = Engine(watch.network, budget=PLENTY).probabilities(_images(), SUBSETS, WINDOW, 0.5)
    first = next(results)
    assert watch.calls == ["encode", "decode"] * 3  # nothing but the first subset
    assert (first - expected[0]).abs().max() < 1e-5
    rest = torch.stack(list(results))
    assert watch.calls[6:] == ["decode"] * 3 * 7
    assert (rest - expected[1:]).abs().max() < 1e-5


@pytest.mark.usefixtures("one_by_one")
def test_without_memory_for_features_later_groups_encode_again(expected: Tensor) -> None:
    need = case_need(TINY, (56, 32, 32), WINDOW, 4)
    watch = Watch()
    budget = need.encode + need.decode + 3 * need.total
    found = _run(Engine(watch.network, budget=budget))
    assert watch.calls.count("encode") == 3 * 4  # groups of 1, 3, 3 and 1
    assert (found - expected).abs().max() < 1e-5


def test_windows_together_equal_windows_alone(expected: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    for keep in (True, False):
        plan = Plan(HOST, HOST, rows=2, keep=keep, first=1, group=4)
        monkeypatch.setattr("DMAFTraining.inference.engine.plan_work", lambda *_, plan=plan: plan)
        watch = Watch()
        assert (_run(Engine(watch.network)) - expected).abs().max() < 1e-5
        assert watch.calls[:3] == ["encode", "decode", "encode"]  # two windows, then the third


def test_small_windows_go_together_on_a_processor(expected: Tensor) -> None:
    watch = Watch()
    assert (_run(Engine(watch.network, budget=PLENTY)) - expected).abs().max() < 1e-5
    assert watch.calls == ["encode"] + ["decode"] * 8  # three windows at once, for one subset after the other


def test_how_many_rows_go_together_on_a_processor() -> None:
    def rows(width: int, window: tuple[int, ...], budget: int = PLENTY) -> int:
        need = case_need(TINY.__class__(dims=len(window), width=width), window, window, 4)
        return plan_work(need, 20, 15, HOST, budget).rows

    assert rows(4, (96, 96)) == 8  # the most
    assert rows(4, (32, 48, 32)) == 2
    assert rows(8, (80, 80, 80)) == rows(16, (256, 256)) == 1
    assert rows(4, (96, 96), budget=2**22) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_backbone_gives_the_same_with_windows_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = build_network(NETWORKS[name].config_class(width=2), training_heads=False).eval()
    images, rows = _images((40, 32, 32)), [SUBSETS[0], SUBSETS[5]]
    alone = torch.stack(list(Engine(network).probabilities(images, rows, WINDOW, 0.5)))
    plan = Plan(HOST, HOST, rows=2, keep=True, first=2, group=2)
    monkeypatch.setattr("DMAFTraining.inference.engine.plan_work", lambda *_: plan)
    together = torch.stack(list(Engine(network).probabilities(images, rows, WINDOW, 0.5)))
    assert (alone - together).abs().max() < 1e-4


@pytest.mark.usefixtures("one_by_one")
def test_cancel_stops_before_the_second_window_is_encoded() -> None:
    def stop(_: float) -> None:
        raise Cancelled

    watch = Watch()
    with pytest.raises(Cancelled):
        list(Engine(watch.network).probabilities(_images(), SUBSETS[:1], WINDOW, 0.5, on_tile=stop))
    assert watch.calls == ["encode", "decode"]


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError, MemoryError, lambda: RuntimeError(CPU_FULL)], ids=["torch", "python", "cpu"]
)
@pytest.mark.parametrize("failing", [(1,), (4,), (9,)], ids=["at the start", "between", "after a result"])
def test_after_running_out_of_memory_the_result_is_the_same(
    error: Callable[[], BaseException], failing: tuple[int, ...], expected: Tensor
) -> None:
    watch, warned, told = Watch(error, failing), [], []
    engine = Engine(watch.network, budget=PLENTY, on_warning=lambda *warning: warned.append(warning))
    found = list(engine.probabilities(_images(), SUBSETS[:3], WINDOW, 0.5, on_tile=told.append))
    assert (torch.stack(found) - expected[:3]).abs().max() < 1e-5
    assert [code for code, _ in warned] == ["memory"]
    assert told == sorted(told)
    assert told[-1] == 1


def test_ladder_is_gone_down_one_step_at_a_time_with_one_warning_each(expected: Tensor) -> None:
    watch, warned = Watch(torch.OutOfMemoryError, failing=(1, 2, 3)), []
    engine = Engine(watch.network, OTHER, budget=PLENTY, on_warning=lambda *warning: warned.append(warning))
    assert (_run(engine, SUBSETS[:2]) - expected[:2]).abs().max() < 1e-5
    assert len(warned) == len(set(warned)) == 3
    assert "smaller pieces" in warned[0][1]
    assert "collected elsewhere" in warned[1][1]
    assert "the processor goes on" in warned[2][1]
    _run(engine, SUBSETS[:1])
    assert len(warned) == 3  # the engine remembers


def test_below_the_last_step_is_a_typed_error() -> None:
    watch = Watch(torch.OutOfMemoryError, failing=(1, 2))
    with pytest.raises(OutOfMemoryError, match="memory of this computer is too small"), pytest.warns(RuntimeWarning):
        _run(Engine(watch.network))


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    watch = Watch(lambda: RuntimeError("shapes do not fit"), failing=(1,))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        _run(Engine(watch.network))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_steps_of_the_ladder() -> None:
    plan = Plan(OTHER, OTHER, rows=4, keep=True, first=1, group=4)
    seen = [plan]
    while step := step_down(seen[-1]):
        seen.append(step[0])
    assert seen[1:] == [
        Plan(OTHER, OTHER, rows=1, keep=False, first=1, group=1),
        Plan(OTHER, HOST, rows=1, keep=False, first=1, group=1),
        Plan(HOST, HOST, rows=1, keep=False, first=1, group=1),
    ]


def test_what_a_case_needs() -> None:
    # One map of 8 channels on 10 x 10 x 10 voxels in 4 bytes is 32,000 bytes; two sequences, three classes.
    need = case_need(TINY.__class__(modalities=2, classes=3, width=8), (20, 10, 10), (10, 10, 10), 4)
    assert asdict(need) == {"encode": 512_000, "decode": 512_000, "features": 192_000, "total": 24_000}


@pytest.mark.parametrize("device", [HOST, torch.device("cuda:0")], ids=str)
@pytest.mark.parametrize("gigabytes", [2, 6, 8])
def test_a_plan_stays_within_the_budget_for_a_whole_brain_at_one_millimeter(
    device: torch.device, gigabytes: int
) -> None:
    need, budget = case_need(TINY.__class__(width=8), (140, 175, 140), (80, 80, 80), 4), gigabytes * 2**30
    plan = plan_work(need, windows=36, subsets=15, device=device, budget=budget)
    features = 36 * need.features if plan.keep else plan.rows * need.features
    work = max(plan.rows * need.encode, features + plan.rows * need.decode)
    assert work + plan.group * need.total <= budget
    assert plan.blend_on == device


@pytest.mark.usefixtures("one_by_one")
def test_plans() -> None:
    need = Need(encode=100, decode=50, features=40, total=20)
    cuda = torch.device("cuda")
    assert plan_work(need, 1, 15, HOST, 1000) == Plan(HOST, HOST, rows=1, keep=True, first=1, group=1)
    assert plan_work(need, 1, 15, cuda, 1000) == Plan(cuda, cuda, rows=5, keep=True, first=1, group=5)
    # 150 of 550 bytes are for the network and 40 * 10 for features: one more total does not fit
    assert plan_work(need, 10, 15, HOST, 550) == Plan(HOST, HOST, rows=1, keep=False, first=1, group=15)
    assert plan_work(need, 10, 15, HOST, 250) == Plan(HOST, HOST, rows=1, keep=False, first=1, group=5)
    # two subsets are not worth encoding twice for an early result
    assert plan_work(need, 10, 2, HOST, 250) == Plan(HOST, HOST, rows=1, keep=False, first=2, group=2)
    # not even one total fits on the GPU
    assert plan_work(need, 10, 2, cuda, 160).blend_on == HOST


def test_bf16_is_close_and_blends_in_fp32(expected: Tensor) -> None:
    if not has_bf16(HOST):
        with pytest.raises(InputError, match="does not compute in bf16"):
            Engine(tiny_network(), precision="bf16")
        return
    found = _run(Engine(tiny_network(), precision="bf16"), SUBSETS[:3])
    assert found.dtype == torch.float32
    assert (found.sum(dim=1) - 1).abs().max() < 1e-6  # in bf16 it would be 1 to 1e-3
    difference = (found - expected[:3]).abs()
    assert 1e-4 < difference.mean() < 0.01


def test_choice_of_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision("auto", HOST) == "fp32"
    assert choose_precision("fp32", HOST) == "fp32"
    with pytest.raises(InputError, match="'half' does not exist"):
        choose_precision("half", HOST)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    with pytest.raises(InputError, match="does not compute in bf16"):
        choose_precision("bf16", HOST)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_precision("bf16", HOST) == "bf16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert choose_precision("auto", torch.device("cuda")) == "bf16"
