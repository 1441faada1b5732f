"""Stand-in for the worker: a real process that speaks its protocol and writes real label maps.

``python fake_worker.py BEHAVIOR --job job.json``, or ``--devices``. The label maps are nested boxes around the middle
of the reference image, smaller when fewer sequences are given, so that volumes can be checked by hand.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
from pathlib import Path

DEVICES = [
    {"value": "cuda:0", "kind": "cuda", "index": 0, "name": "Card A", "free_bytes": 7.5e9, "works": True},
    {
        "value": "cuda:1", "kind": "cuda", "index": 1, "name": "Card B", "works": False,
        "problem": "no kernel image is available",
    },
    {"value": "cpu", "kind": "cpu", "index": 0, "name": "x86_64", "threads": 8, "free_bytes": 12e9, "works": True},
]  # fmt: skip


def emit(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "elapsed_s": 0.0, **fields}), flush=True)


def pause() -> None:
    """Say where we are, then neither listen nor end: somebody has to end us."""
    print("pausing", flush=True)
    time.sleep(60)


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


def label_file_without_libraries(job: dict, file: Path) -> None:
    """Empty label map on the grid of the first image, made from its header: for many runs in little time."""
    head = Path(next(iter(job["inputs"].values()))).read_bytes().split(b"\n\n", 1)[0].decode()
    sizes = next(line for line in head.splitlines() if line.startswith("sizes:")).split()[1:]
    lines = ["type: unsigned char" if line.startswith("type:") else line for line in head.splitlines()]
    file.write_bytes("\n".join([*lines, "", ""]).encode() + bytes(math.prod(map(int, sizes))))


def tell_scans(job: dict, out: Path) -> None:
    """As if every scan but the reference had been moved by 3, 4 and 0 mm, FLAIR with doubt, and the brain cut out."""
    import numpy as np
    import SimpleITK as sitk

    reference = job["reference"] or next(iter(job["inputs"]))
    others = [name for name in job["inputs"] if name != reference]
    moved = [[1, 0, 0, 3], [0, 1, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]]
    picture = out / "alignment_flair.png"
    sitk.WriteImage(
        sitk.GetImageFromArray(np.arange(60 * 90, dtype=np.uint16).reshape(60, 90).astype(np.uint8)), picture
    )
    decisions = [{"step": "registration", "sequence": n, "needed": True, "reason": "Another grid."} for n in others]
    decisions += [{"step": "brain", "sequence": n, "needed": True, "reason": "A skull."} for n in job["inputs"]]
    decisions += [{"step": "bias", "sequence": n, "needed": False, "reason": "Switched off."} for n in job["inputs"]]
    emit("warning", code="registration", message="FLAIR: the outlines do not fit.")
    transforms, brain = dict.fromkeys(others, moved), {"brain_tool": "deepbet 1.0.2", "brain_ml": 1432.4}
    emit(
        "scans",
        reference=reference,
        decisions=decisions,
        transforms=transforms,
        pictures={"flair": str(picture)},
        **brain,
    )


def native_results(job: dict, images: dict, half: int, file: Path) -> dict[str, str]:
    """Boxes around the middle of the other images too, as far as they are wanted."""
    import SimpleITK as sitk

    files = {}
    for name in set(job.get("native", [])) - {job["reference"] or next(iter(images))}:
        image = sitk.GetImageFromArray(label_map(images[name].GetSize()[::-1], half))
        image.CopyInformation(images[name])
        files[name] = str(file.with_name(f"{name}_{file.name}"))
        sitk.WriteImage(image, files[name])
    return files


def quick_result(job: dict) -> int:
    out = Path(job["output"])
    out.mkdir()
    file, provenance = out / "labels.nrrd", out / "provenance.json"
    label_file_without_libraries(job, file)
    names = list(job["inputs"])
    emit("result", subset=names, title="+".join(names), file=str(file), volumes_ml={"WT": 0.0}, dice_to_fullest={})
    provenance.write_text("{}", encoding="utf-8")
    emit("done", output=str(out), provenance=str(provenance), seconds=0.1)
    return 0


def compare(job: dict, reference, maps: dict) -> None:
    """What the worker makes of all results, by its own code; each sequence has an equal share everywhere."""
    import numpy as np
    import SimpleITK as sitk

    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from DMAFTraining.inference.case_comparison import LabelSet, compare_case
    from DMAFTraining.inference.comparison_document import comparison_document
    from DMAFTraining.inference.metadata import Region
    from DMAFTraining.modalities import Modality, Subset

    out, files = Path(job["output"]), {}
    parts = {"WT": ("Whole tumor", (1, 2, 3)), "TC": ("Tumor core", (1, 3)), "ET": ("Enhancing tumor", (3,))}
    regions = [Region(name, *part) for name, part in parts.items()]
    subsets = {Subset(tuple(Modality(*pair) for pair in pairs)): m.transpose(2, 1, 0) for pairs, m in maps.items()}
    labels = LabelSet(subsets, np.diag([*reference.GetSpacing(), 1.0]))
    arrays = {"agreement": {region.name: labels.agreement(region).transpose(2, 1, 0) for region in regions}}
    share = np.full(labels.shape[::-1], 1 / len(job["inputs"]), np.float32)
    arrays["contribution"] = dict.fromkeys(job["inputs"], share)
    for kind in set(job["maps"]) & set(arrays):
        for name, array in arrays[kind].items():
            image = sitk.GetImageFromArray(array)
            image.CopyInformation(reference)
            file = out / f"{kind}_{name}.nrrd"
            sitk.WriteImage(image, str(file))
            files.setdefault(kind, {})[name] = file.name
    fields = {"output": str(out), "maps": files}
    if job["comparison"]:
        document = comparison_document(compare_case(labels, regions))
        (out / "comparison.json").write_text(json.dumps(document), encoding="utf-8")
        fields["comparison"] = "comparison.json"
    emit("comparison", **fields)


def segment(job: dict, wait: float, pause_at: str = "") -> int:
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
    if pause_at == "raw":
        tell_scans(job, out)
    full = label_map(shape, 3 + len(subsets[0]))
    everything = {}
    for count, subset in enumerate(subsets, 1):
        if cancel_asked(wait):
            emit("cancelled")
            return 3
        labels = label_map(shape, 3 + len(subset))
        title = "+".join(titles[name] for name in subset)
        image = sitk.GetImageFromArray(labels)
        image.CopyInformation(reference)
        file = out / f"labels_{title}.nrrd"
        if pause_at == "writing" and count == 2:
            file.write_bytes(b"NRRD0004\ntype: unsigned ch")
            pause()
        sitk.WriteImage(image, str(file))
        regions = {"WT": labels > 0, "TC": np.isin(labels, (1, 3)), "ET": labels == 3}
        truth = {"WT": full > 0, "TC": np.isin(full, (1, 3)), "ET": full == 3}
        dice = {k: float(2 * (m & truth[k]).sum() / (m.sum() + truth[k].sum())) for k, m in regions.items()}
        volumes = {k: float(m.sum()) * voxel_ml for k, m in regions.items()}
        left = (len(subsets) - count) * max(wait, 0.1)
        emit("progress", fraction=count / len(subsets), stage="segment", message=f"Segmenting {title}", eta_s=left)
        maps = {}
        if "entropy" in job.get("maps", []):  # 0.25 inside the boxes, 0 elsewhere
            image = sitk.GetImageFromArray((labels > 0).astype(np.float32) / 4)
            image.CopyInformation(reference)
            maps = {"entropy": str(out / f"entropy_{title}.nrrd")}
            sitk.WriteImage(image, maps["entropy"])
        numbers = {"volumes_ml": volumes, "dice_to_fullest": dice}
        native = native_results(job, images, 3 + len(subset), file)
        emit("result", subset=subset, title=title, file=str(file), maps=maps, native=native, **numbers)
        everything[tuple(subset)] = labels
        if pause_at == "results":
            pause()
    if job.get("comparison") or {"agreement", "contribution"} & set(job.get("maps", [])):
        compare(job, reference, {tuple((name, titles[name]) for name in key): m for key, m in everything.items()})
    provenance = out / "provenance.json"
    provenance.write_text(json.dumps({"subsets": subsets, "device": job["device"]}), encoding="utf-8")
    emit("done", output=str(out), provenance=str(provenance), seconds=1.0)
    return 0


def main() -> int:
    behavior = sys.argv[1]
    if "--devices" in sys.argv:
        broken = {"devices": [], "problem": "PyTorch cannot be loaded (libc.so)."}
        print(json.dumps({"schema": 1} | (broken if behavior == "crash" else {"devices": DEVICES})))
        return int(behavior == "crash")
    if behavior == "pause-starting":
        pause()
    job_file = sys.argv[sys.argv.index("--job") + 1]
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    emit("hello", protocol=1, pid=os.getpid(), versions={"python": "3.12.10", "torch": "2.13.0"})
    if behavior == "pause-loading":
        emit("stage", stage="load", message="Loading the model")
        pause()
    if behavior == "pause-preparing":
        emit("stage", stage="prepare", message="Preparing the images")
        pause()
    if behavior == "raw-fails":
        (Path(job["output"])).mkdir()
        tell_scans(job, Path(job["output"]))
        emit("error", kind="memory", message="Not enough memory.", hint="Choose the CPU.")
        return 1
    emit("started", protocol=1, pid=os.getpid(), model={"name": "m", "version": "1"}, device="cpu", subsets=[])
    if behavior == "crash":
        print("Traceback ...\nModuleNotFoundError: No module named 'torch'", file=sys.stderr, flush=True)
        return 1
    if behavior == "abort":
        os.abort()
    if behavior == "error":
        emit("error", kind="memory", message="Not enough memory.", hint="Choose the CPU.")
        return 1
    if behavior == "quick":
        return quick_result(job)
    if behavior == "gossip":
        print("reading /archive/Roe_Jane/1970-01-02/head scan.nii.gz", file=sys.stderr, flush=True)
        print(f"volume {os.environ['GOSSIP']} of JaneRoe, ID 7654321, UID 1.2.840.113619.2.55.3", file=sys.stderr)
        emit("error", kind="bad-input", message="Cannot read '/archive/Roe_Jane/t1.nii.gz'.", hint="Check t1.")
        return 2
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
    wait = 0.15 if behavior in ("slow", "bad-result") else 0.0
    return segment(job, wait, behavior.removeprefix("pause-"))


if __name__ == "__main__":
    sys.exit(main())
