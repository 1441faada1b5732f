"""Runs deepbet on one image: what a child process does, so that its memory and its time can be taken back.

    python -m DMAFTraining.inference.scans.brain_worker SCAN.nii MASK.nii

deepbet (Fisch et al., Computers in Biology and Medicine 179, 2024) keeps its weights as TorchScript,
which is a program: files other than the known ones are refused before anything of them runs. No code
that is loaded here gets a socket.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np

WEIGHTS = {
    "model.pt": "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
    "bbox_model.pt": "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
}
"""SHA-256 of the weight files in the wheel of deepbet 1.0.2."""


def main(scan: str, mask: str) -> int:
    """Write the brain mask of an image; returns the exit code, the reason of a failure is the last line on stderr."""
    sys.addaudithook(_refuse_sockets)
    try:
        _extract(Path(scan), Path(mask))
    except MemoryError:
        return _fail("out of memory")
    except (ImportError, OSError, ValueError, AssertionError, RuntimeError) as error:
        return _fail(str(error).strip().split("\n")[0] or type(error).__name__)
    return 0


def weights_folder() -> Path:
    """Folder with the weights of the installed deepbet, found without running any of it.

    Raises:
        ImportError: deepbet is not installed.
    """
    spec = importlib.util.find_spec("deepbet")
    if spec is None or spec.origin is None:
        raise ImportError("deepbet is not installed")
    return Path(spec.origin).parents[1] / "data" / "models"


def checked_weights(path: Path) -> io.BytesIO:
    """Content of a weight file whose hash is known; the bytes that were hashed are those that get loaded.

    Raises:
        ValueError: the file is not one of the known ones.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS[path.name]:
        raise ValueError(f"its weight file {path} is not the one of deepbet 1.0.2, install that version again")
    return io.BytesIO(content)


def _extract(scan: Path, mask: Path) -> None:
    folder = weights_folder()
    model, box_model = (checked_weights(folder / name) for name in WEIGHTS)
    import nibabel
    from deepbet.bet import BrainExtraction

    # Always on the processor: a few seconds, and the same mask on every computer.
    extraction = BrainExtraction(no_gpu=True, model_path=model, bbox_model_path=box_model)
    _, found, _ = extraction.run(nibabel.load(scan))
    nibabel.save(nibabel.Nifti1Image(np.asarray(found.dataobj).astype(np.uint8), found.affine), mask)


def _refuse_sockets(event: str, _: tuple[object, ...]) -> None:
    if event == "socket.__new__":
        raise PermissionError("brain extraction uses no network")


def _fail(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
