"""The job with real child processes: normal, cancelled, deaf, crashed, talking nonsense."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFSegmentLib.exits import explain_exit
from DMAFSegmentLib.job import JobRequest, SegmentationJob, State, Worker, time_left
from DMAFSegmentLib.protocol import LineReader


def export_box(node: str, path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((16, 20, 24), np.float32))
    image.SetSpacing((1.0, 2.0, 5.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def new_job(plain_process, worker_command, bundle):
    """Job of the stand-in worker whose signals are recorded in ``job.seen`` as (name, arguments)."""

    def build(behavior, inputs=("t1", "flair"), subsets="full", command=None, export=export_box):
        request = JobRequest(bundle, dict.fromkeys(inputs, "node"), subsets)
        worker = Worker(command or worker_command(behavior))
        job = SegmentationJob(request, worker, plain_process, export, run_later)
        job.seen = []
        for name in ("started", "stage", "progress", "result", "warning", "finished", "failed", "cancelled"):
            getattr(job, name).connect(lambda *args, name=name: job.seen.append((name, args)))
        job.ended = lambda: job.state is State.ENDED
        job.named = lambda name: [args for seen, args in job.seen if seen == name]
        return job

    def run_later(seconds, function):
        threading.Timer(seconds / 4, lambda: plain_process.events.put((lambda _: function(), b""))).start()

    return build


def endings(job):
    return [name for name, _ in job.seen if name in ("finished", "failed", "cancelled")]


def test_normal_run_reports_every_subset_and_cleans_up(new_job, plain_process):
    job = new_job("normal", subsets="all")
    files = {}
    job.result.connect(lambda event: files.update({event.title: sitk.GetArrayFromImage(sitk.ReadImage(event.file))}))
    job.start()
    folder = job.folder
    assert folder.is_dir()
    assert plain_process.pump(job.ended)

    assert [event.title for (event,) in job.named("result")] == ["T1+FLAIR", "FLAIR", "T1"]
    # Half width 5 for two sequences: 10 x 10 x 10 voxels of 1 x 2 x 5 mm = 10 mL; half width 4: 5.12 mL.
    volumes = [event.volumes_ml["WT"] for (event,) in job.named("result")]
    assert volumes == pytest.approx([10.0, 5.12, 5.12])
    assert job.named("result")[1][0].dice_to_fullest["WT"] == pytest.approx(2 * 512 / 1512)
    assert int((files["T1"] > 0).sum()) == 512
    assert job.named("progress")[-1][0] == 1.0
    assert endings(job) == ["finished"]
    assert json.loads(job.named("finished")[0][0])["subsets"][0] == ["t1", "flair"]
    assert not folder.exists()


def test_job_file_says_what_was_asked(new_job, plain_process, bundle):
    job = new_job("slow")
    job.start()
    document = json.loads((job.folder / "job.json").read_text(encoding="utf-8"))
    assert document["bundle"] == str(bundle)
    assert document["inputs"] == {"t1": str(job.folder / "t1.nrrd"), "flair": str(job.folder / "flair.nrrd")}
    assert not Path(document["output"]).exists()
    assert {k: document[k] for k in ("schema", "subsets", "reference", "device", "extension")} == {
        "schema": 1,
        "subsets": "full",
        "reference": None,
        "device": "auto",
        "extension": ".nrrd",
    }
    plain_process.pump(job.ended)


def test_cancel_stops_a_listening_worker(new_job, plain_process):
    job = new_job("slow", subsets="all")
    job.result.connect(lambda event: job.cancel())
    job.start()
    folder = job.folder
    assert plain_process.pump(job.ended)
    assert endings(job) == ["cancelled"]
    assert len(job.named("result")) == 1, "results after the cancel must not be reported"
    assert plain_process.child.returncode == 3, "the worker itself should have stopped"
    assert not folder.exists()


def test_deaf_worker_is_killed(new_job, plain_process):
    job = new_job("hang")
    job.progress.connect(lambda *args: job.cancel())
    job.start()
    folder = job.folder
    assert plain_process.pump(job.ended)
    assert endings(job) == ["cancelled"]
    assert plain_process.child.returncode == -9
    assert not folder.exists()


def test_cancelling_twice_or_after_the_end_does_nothing(new_job, plain_process):
    job = new_job("normal")
    job.cancel()
    assert job.state is State.NEW
    job.start()
    assert plain_process.pump(job.ended)
    job.cancel()
    job.shutdown()
    assert endings(job) == ["finished"]


def test_shutdown_ends_the_worker_before_it_returns(new_job, plain_process):
    job = new_job("hang")
    job.start()
    assert plain_process.pump(lambda: bool(job.named("progress")))
    folder = job.folder
    job.shutdown()
    assert plain_process.child.poll() is not None
    assert not folder.exists()
    assert endings(job) == ["cancelled"]


@pytest.mark.parametrize(
    ("behavior", "message", "hint"),
    [
        ("crash", "exit code 1", "package is missing"),
        ("abort", "crashed", "log"),
        ("error", "Not enough memory.", "Choose the CPU."),
        ("silent-end", "without a result", "log"),
        ("bad-result", "without its title or its file", "log"),
    ],
)
def test_failures_are_explained(new_job, plain_process, behavior, message, hint):
    job = new_job(behavior)
    job.start()
    folder = job.folder
    assert plain_process.pump(job.ended)
    assert endings(job) == ["failed"]
    error = job.named("failed")[0][0]
    assert message in error.message
    assert hint in error.hint
    assert not folder.exists()


def test_crash_keeps_the_last_words(new_job, plain_process):
    job = new_job("crash")
    job.start()
    assert plain_process.pump(job.ended)
    assert "No module named 'torch'" in job.named("failed")[0][0].details


def test_missing_program_fails_with_a_sentence(new_job, plain_process):
    job = new_job("", command=("no-such-program-anywhere",))
    job.start()
    assert plain_process.pump(job.ended)
    assert "could not be started" in job.named("failed")[0][0].message


def test_nonsense_is_kept_in_the_log_and_does_not_stop_the_run(new_job, plain_process):
    job = new_job("garbage")
    job.start()
    assert plain_process.pump(job.ended)
    assert endings(job) == ["finished"]
    assert ("half and half",) in job.named("stage"), "an event that arrives in two pieces is one event"
    assert "plain words" in job.log_lines
    assert any("not text" in line for line in job.log_lines)


def test_slot_that_cannot_use_a_result_fails_the_job(new_job, plain_process):
    def refuse(event):
        raise ValueError("The label map does not fit.")

    job = new_job("slow", subsets="all")
    job.result.connect(refuse)
    job.start()
    assert plain_process.pump(job.ended)
    assert endings(job) == ["failed"]
    assert job.named("failed")[0][0].message == "The label map does not fit."


def test_inputs_that_cannot_be_written_leave_nothing(new_job):
    def broken(node, path):
        raise OSError("disk full")

    job = new_job("normal", export=broken)
    with pytest.raises(OSError, match="disk full"):
        job.start()
    assert not job.folder.exists()
    assert not job.running


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_lines_do_not_depend_on_the_chunks(size):
    data = "first\r\nzweite Zeile: ü\n\n\nlast without end".encode() + b"\xff"
    reader = LineReader()
    lines = [line for i in range(0, len(data), size) for line in reader.feed(data[i : i + size])]
    assert lines + reader.rest() == ["first", "zweite Zeile: ü", "last without end\ufffd"]


def test_killed_by_the_system_hints_at_memory():
    assert "out of memory" in explain_exit(137, []).message


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "about 1 s left"), (42.4, "about 42 s left"), (150, "about 2 min left")]
)
def test_time_left_in_words(seconds, text):
    assert time_left(seconds) == text
