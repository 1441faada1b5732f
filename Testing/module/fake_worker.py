"""Stand-in for the worker: a real process that speaks its protocol and writes real label maps.

``python fake_worker.py BEHAVIOR --job job.json``. The label maps are nested boxes around the middle
of the reference image, smaller when fewer sequences are given, so that volumes can be checked by hand.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path


def emit(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "elapsed_s": 0.0, **fields}), flush=True)


def cancel_asked(seconds: float) -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.readline() in ("cancel\n", "")


def subsets_of(job: dict) -> list[list[str]]:
    names = list(job["inputs"])
    if job["subsets"] == "full":
        return [names]
    if job["subsets"] == "all":
        masks = range(2 ** len(names) - 1, 0, -1)
        every = [[n for i, n in enumerate(names) if mask >> i & 1] for mask in masks]
        return sorted(every, key=len, reverse=True)
    return job["subsets"]


def label_map(shape: tuple[int, ...], half: int):
    """Boxes with half widths ``half`` (edema, 2), ``half - 1`` (enhancing, 3), ``half - 2`` (core, 1)."""
    import numpy as np

    labels = np.zeros(shape, np.uint8)
    for value, width in ((2, half), (3, half - 1), (1, half - 2)):
        if width > 0:
            labels[tuple(slice(size // 2 - width, size // 2 + width) for size in shape)] = value
    return labels


def segment(job: dict, pause: float) -> int:
    import numpy as np
    import SimpleITK as sitk

    titles = {"t1": "T1", "t1ce": "T1ce", "flair": "FLAIR", "t2": "T2"}
    out = Path(job["output"])
    out.mkdir()
    subsets = subsets_of(job)
    images = {name: sitk.ReadImage(path) for name, path in job["inputs"].items()}
    reference = images[job["reference"] or next(iter(images))]
    shape = reference.GetSize()[::-1]
    voxel_ml = float(np.prod(reference.GetSpacing())) / 1000
    emit("stage", stage="read", message="Reading the images")
    full = label_map(shape, 3 + len(subsets[0]))
    for count, subset in enumerate(subsets, 1):
        if cancel_asked(pause):
            emit("cancelled")
            return 3
        labels = label_map(shape, 3 + len(subset))
        title = "+".join(titles[name] for name in subset)
        image = sitk.GetImageFromArray(labels)
        image.CopyInformation(reference)
        file = out / f"labels_{title}.nrrd"
        sitk.WriteImage(image, str(file))
        regions = {"WT": labels > 0, "TC": np.isin(labels, (1, 3)), "ET": labels == 3}
        truth = {"WT": full > 0, "TC": np.isin(full, (1, 3)), "ET": full == 3}
        dice = {k: float(2 * (m & truth[k]).sum() / (m.sum() + truth[k].sum())) for k, m in regions.items()}
        volumes = {k: float(m.sum()) * voxel_ml for k, m in regions.items()}
        left = (len(subsets) - count) * max(pause, 0.1)
        emit("progress", fraction=count / len(subsets), stage="segment", message=f"Segmenting {title}", eta_s=left)
        emit("result", subset=subset, title=title, file=str(file), volumes_ml=volumes, dice_to_fullest=dice)
    provenance = out / "provenance.json"
    provenance.write_text(json.dumps({"subsets": subsets, "device": job["device"]}))
    emit("done", output=str(out), provenance=str(provenance), seconds=1.0)
    return 0


def main() -> int:
    behavior, job_file = sys.argv[1], sys.argv[sys.argv.index("--job") + 1]
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    emit("started", protocol=1, pid=os.getpid(), model={"name": "m", "version": "1"}, device="cpu", subsets=[])
    if behavior == "crash":
        print("Traceback ...\nModuleNotFoundError: No module named 'torch'", file=sys.stderr, flush=True)
        return 1
    if behavior == "abort":
        os.abort()
    if behavior == "error":
        emit("error", kind="memory", message="Not enough memory.", hint="Choose the CPU.")
        return 1
    if behavior == "silent-end":
        return 0
    if behavior == "hang":  # deaf: neither reads nor ends
        emit("progress", fraction=0.5, stage="segment", message="Hanging", eta_s=None)
        time.sleep(60)
    if behavior == "garbage":
        sys.stdout.buffer.write(b'\xff\xfe not text\nplain words\n[1, 2]\n{"no": "event"}\n{"event": 5}\n\n')
        sys.stdout.buffer.flush()
        sys.stdout.write('{"event": "stage", "mess')
        sys.stdout.flush()
        time.sleep(0.1)
        sys.stdout.write('age": "half and half"}\n')
        sys.stdout.flush()
    if behavior == "bad-result":
        emit("result", subset=["t1"], title="T1")
    return segment(job, 0.15 if behavior in ("slow", "bad-result") else 0.0)


if __name__ == "__main__":
    sys.exit(main())
