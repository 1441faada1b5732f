"""Brain extraction by other programs: found or refused, run aside, ended with us, and never trusted with weights.

HD-BET cannot be installed where its weights cannot be downloaded: a stand-in with its options, files and
folder of weights takes its place. deepbet is the real one.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.scans import brain_worker
from DMAFTraining.inference.scans.brain_tools import find_tool, installed_tools
from head_rig import paint_head, shared_data
from tiny import head_grid, head_volume, oblique_grid

# What HD-BET 2 does with its command line, with a threshold in place of its network.
STAND_IN = """#!{python}
import argparse, os, subprocess, sys, time
import SimpleITK as sitk
parser = argparse.ArgumentParser()
parser.add_argument("-i"), parser.add_argument("-o"), parser.add_argument("-device")
for flag in ("--disable_tta", "--save_bet_mask", "--no_bet_image"):
    parser.add_argument(flag, action="store_true")
options = parser.parse_args()
assert options.i.endswith(".nii.gz") and options.o.endswith(".nii.gz") and options.save_bet_mask
image = sitk.ReadImage(options.i)
code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
assert code == "RAS", "the head does not stand upright"
mask = sitk.Cast(image > 3, sitk.sitkUInt8)
{fault}
sitk.WriteImage(mask, options.o[:-7] + "_bet.nii.gz")
"""


def ignore(_: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def hd_bet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``hd_bet(fault)`` puts the stand-in on the path; ``fault`` is what goes wrong in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "files").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "files"))

    def install(fault: str = "") -> None:
        (tmp_path / "bin").mkdir()
        command = tmp_path / "bin" / "hd-bet"
        command.write_text(STAND_IN.format(python=sys.executable, fault=fault), encoding="utf-8")
        command.chmod(0o755)
        weights = tmp_path / "hd-bet_params" / "release_2.0.0" / "fold_all"
        weights.mkdir(parents=True)
        (weights / "checkpoint_final.pth").touch()

    return install


@pytest.fixture
def no_deepbet(monkeypatch: pytest.MonkeyPatch) -> None:
    """deepbet is not installed."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(happened: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.05)
    return happened()


def test_the_first_installed_tool_is_taken(hd_bet: Callable[..., None]) -> None:
    assert installed_tools() == ("deepbet",)
    assert find_tool("auto").name == "deepbet"
    assert find_tool("auto").version == importlib.metadata.version("deepbet")
    hd_bet()
    assert installed_tools() == ("deepbet", "hd-bet")
    assert find_tool("hd-bet").name == "hd-bet"


@pytest.mark.usefixtures("no_deepbet")
def test_without_deepbet_hd_bet_is_taken_and_without_both_the_user_is_told_what_to_do(
    hd_bet: Callable[..., None],
) -> None:
    for choice in ("auto", "deepbet", "hd-bet"):
        with pytest.raises(InputError, match="installed") as told:
            find_tool(choice)
        assert "mask" in told.value.hint
    hd_bet()
    assert find_tool("auto").name == "hd-bet"
    with pytest.raises(InputError, match="Unknown brain extraction 'fsl'"):
        find_tool("fsl")


def test_hd_bet_without_weights_is_refused_because_it_would_download_them(
    hd_bet: Callable[..., None], tmp_path: Path
) -> None:
    hd_bet()
    next(tmp_path.rglob("checkpoint_final.pth")).unlink()
    assert installed_tools() == ("deepbet",)
    with pytest.raises(InputError, match=r"its weights are not at .*checkpoint_final\.pth"):
        find_tool("hd-bet")


@pytest.mark.parametrize(
    "grid",
    [
        oblique_grid((30, 36, 40), (0, 0, 0), (3.5, 3, 2.8), 1),
        oblique_grid((40, 30, 36), (90, 0, 90), (2.8, 3.5, 3), 0),
        oblique_grid((44, 46, 12), (20, -25, 160), (3, 3, 9), 1),
    ],
    ids=["flipped", "permuted", "oblique thick slices"],
)
def test_the_tool_sees_an_upright_head_and_its_mask_comes_back_on_the_own_grid(
    hd_bet: Callable[..., None], grid: Grid, tmp_path: Path
) -> None:
    hd_bet()
    volume = head_volume(grid)
    seen: list[float] = []
    mask = find_tool("hd-bet")(volume, seen.append)
    assert mask.dtype == bool
    assert np.array_equal(mask, volume.array > 3)
    assert (seen[0], seen[-1]) == (0, 1)
    assert sorted(seen) == seen
    assert not list((tmp_path / "files").iterdir())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("sys.exit('Torch not compiled with CUDA enabled')", "hd-bet could not .*: Torch not compiled with CUDA"),
        ("os.kill(os.getpid(), 9)", "ran out of memory"),
        ("raise RuntimeError('not enough memory: you tried to allocate 9 bytes')", "ran out of memory"),
        ("sys.exit(0)", "wrote no brain mask"),
        ("mask = mask * 0", "found no brain"),
        ("mask = mask[1:]", "another size"),
    ],
)
def test_a_failure_of_the_tool_is_one_sentence(
    hd_bet: Callable[..., None], tmp_path: Path, fault: str, message: str
) -> None:
    hd_bet(fault)
    with pytest.raises(InputError, match=message) as told:
        find_tool("hd-bet")(head_volume(head_grid()), ignore)
    assert told.value.hint
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "files").iterdir())


# Starts a process of its own, as nnU-Net does, and never comes to an end.
_ENDLESS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(os.path.expanduser("~/pids"), "w") as out:
    out.write(f"{os.getpid()} {child.pid}\\n")
time.sleep(600)
"""


def _pids(folder: Path) -> list[int]:
    path = folder / "pids"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [int(word) for word in text.split()] if text.endswith("\n") else []


def test_raising_in_the_progress_ends_the_tool_with_its_children_and_removes_the_files(
    hd_bet: Callable[..., None], tmp_path: Path
) -> None:
    hd_bet(_ENDLESS)

    class StopError(Exception):
        pass

    def stop(_: float) -> None:
        if _pids(tmp_path):
            raise StopError

    with pytest.raises(StopError):
        find_tool("hd-bet")(head_volume(head_grid()), stop)
    assert wait_until(lambda: not any(map(alive, _pids(tmp_path))))
    assert not list((tmp_path / "files").iterdir())


def test_the_tool_ends_and_its_files_go_when_we_are_killed(hd_bet: Callable[..., None], tmp_path: Path) -> None:
    hd_bet(_ENDLESS)
    program = (
        "import tempfile\n"
        f"tempfile.tempdir = {str(tmp_path / 'files')!r}\n"
        "import numpy as np\n"
        "from DMAFTraining.inference.geometry import Grid, Volume\n"
        "from DMAFTraining.inference.scans.brain_tools import find_tool\n"
        "volume = Volume(np.ones((20, 20, 20), np.float32), Grid((20, 20, 20), np.eye(4)))\n"
        "find_tool('hd-bet')(volume, lambda fraction: None)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        assert wait_until(lambda: bool(_pids(tmp_path)), 60)
        assert all(map(alive, _pids(tmp_path)))
        assert list((tmp_path / "files").iterdir())
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_until(lambda: not any(map(alive, _pids(tmp_path))))
    assert wait_until(lambda: not list((tmp_path / "files").iterdir()))


def test_weights_that_are_not_the_known_ones_are_refused_before_any_of_the_package_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, weights = tmp_path / "deepbet", tmp_path / "data" / "models"
    package.mkdir()
    weights.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    for name in brain_worker.WEIGHTS:
        (weights / name).write_bytes(b"a program")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"model\.pt is not the one of deepbet 1\.0\.2"):
        find_tool("deepbet")(head_volume(head_grid()), ignore)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_installation_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nibabel.py").write_text("raise ImportError('numpy is too old for nibabel')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match="deepbet could not extract the brain: numpy is too old for nibabel"):
        find_tool("deepbet")(head_volume(head_grid()), ignore)


@pytest.mark.skipif(shared_data() is None, reason="no shared data: set DMAF_DATA to its folder")
def test_deepbet_finds_the_brain_of_a_head_and_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "sockets"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, arguments):\n"
        f"    if event in ('socket.bind', 'socket.connect'):\n        open({str(log)!r}, 'a').write(event)\n"
        "sys.addaudithook(hook)\n"
        f"open({str(tmp_path / 'watched')!r}, 'a').write(' '.join(sys.orig_argv) + '\\n')\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    head = paint_head(3)  # its axes run to the left, down and forward
    mask = find_tool("deepbet")(Volume(head.volume.array, head.volume.grid), ignore)
    dice = 2 * (mask & head.brain).sum() / (mask.sum() + head.brain.sum())
    assert dice > 0.93
    assert "brain_worker" in (tmp_path / "watched").read_text(encoding="utf-8")
    assert not log.exists()
