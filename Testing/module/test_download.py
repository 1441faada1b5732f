"""Downloads from a real server on this computer, by function and by a real child process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from DMAFSegmentLib import download as download_module
from DMAFSegmentLib.download import Cancelled, DownloadError, allowed, download
from model_server import ModelServer

DATA = bytes(range(256)) * 4000  # 1 024 000 bytes
SIZE = len(DATA)
SHA256 = hashlib.sha256(DATA).hexdigest()
SCRIPT = Path(download_module.__file__)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download_module, "_WAITS_S", (0.0, 0.0))
    server = ModelServer()
    server.files["model.bin"] = DATA
    with server.running():
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Downloads to ``tmp_path/new/model.bin`` and returns that path."""
    output = tmp_path / "new" / "model.bin"

    def run(path="/model.bin", sha256=SHA256, size=SIZE, **options):
        download(server.url + path, sha256, size, output, **options)
        return output

    run.output = output
    return run


def left_over(fetch):
    return sorted(path.name for path in fetch.output.parent.glob("*"))


def part_of(fetch, sha256=SHA256):
    return fetch.output.with_name(f"model.bin.{sha256[:12]}.part")


@pytest.mark.parametrize("tells_length", [True, False])
def test_file_arrives_whole(server, fetch, tells_length):
    server.tells_length = tells_length
    seen = []
    assert fetch(report=seen.append).read_bytes() == DATA
    assert left_over(fetch) == ["model.bin"]
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)


def test_cut_connection_goes_on_where_it_stopped(server, fetch):
    server.cuts = [300_000, 300_000]
    assert fetch().read_bytes() == DATA
    assert server.requests == [
        ("/model.bin", None),
        ("/model.bin", "bytes=300000-"),
        ("/model.bin", "bytes=600000-"),
    ]


def test_connection_that_is_cut_again_and_again_keeps_the_part_for_next_time(server, fetch):
    server.cuts = [200_000, 100_000, 100_000]
    with pytest.raises(DownloadError, match=r"broke off after 0\.4 MB of 1\.0 MB") as caught:
        fetch()
    assert caught.value.kind == "connection"
    assert "goes on where it stopped" in caught.value.hint
    assert left_over(fetch) == [part_of(fetch).name]
    assert fetch().read_bytes() == DATA
    assert server.requests[-1] == ("/model.bin", "bytes=400000-")


def test_server_that_sends_no_parts_is_asked_for_the_whole(server, fetch):
    server.ranges, server.cuts = False, [300_000]
    assert fetch().read_bytes() == DATA


def test_part_that_was_damaged_is_thrown_away(server, fetch):
    fetch.output.parent.mkdir()
    part_of(fetch).write_bytes(b"x" * 1000)
    assert fetch().read_bytes() == DATA
    assert [start for _path, start in server.requests] == ["bytes=1000-", None]


def test_part_longer_than_the_file_is_thrown_away(server, fetch):
    fetch.output.parent.mkdir()
    part_of(fetch).write_bytes(DATA + b"more")
    assert fetch().read_bytes() == DATA


def test_short_trouble_of_the_server_is_waited_for(server, fetch):
    server.failures = [503, 500]
    assert fetch().read_bytes() == DATA


@pytest.mark.parametrize(
    ("path", "options", "kind", "message"),
    [
        ("/gone.bin", {}, "http", "does not have this file any more (HTTP 404)"),
        ("/model.bin", {"sha256": "0" * 64}, "checksum", "its SHA-256 differs"),
        ("/model.bin", {"size": 999_999}, "checksum", "(1024000 bytes in place of 999999)"),
        ("/redirect-to/http://example.org/model.bin", {}, "address", "which is not an https address"),
        ("/redirect-to/ftp://example.org/model.bin", {}, "address", "which is not an https address"),
        ("/redirect-to/file:///etc/hostname", {}, "address", "which is not an https address"),
    ],
)
def test_every_failure_is_one_sentence_and_leaves_nothing(fetch, path, options, kind, message):
    with pytest.raises(DownloadError) as caught:
        fetch(path, **options)
    assert caught.value.kind == kind
    assert message in str(caught.value)
    assert str(caught.value).endswith(".")
    assert caught.value.hint
    assert left_over(fetch) == []


@pytest.mark.parametrize("code", [401, 403])
def test_refusal_is_told(server, fetch, code):
    server.failures = [code]
    with pytest.raises(DownloadError, match=rf"refuses to send this file \(HTTP {code}\)"):
        fetch()


def test_size_is_kept_even_if_the_server_does_not_tell_it(server, fetch):
    server.tells_length = False
    with pytest.raises(DownloadError, match="sends another file"):
        fetch(size=700_000)
    assert left_over(fetch) == []


def test_redirect_on_this_computer_is_followed(server, fetch):
    assert fetch(f"/redirect-to/{server.url}/model.bin").read_bytes() == DATA


def test_nobody_there(server, fetch, monkeypatch):
    url = "http://127.0.0.1:9/model.bin"  # the discard port: nothing listens
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9 could not be reached \(refused\)") as caught:
        download(url, SHA256, len(DATA), fetch.output)
    assert "proxy" in caught.value.hint
    assert left_over(fetch) == []


def test_full_disk_is_noticed_before_anything_is_fetched(server, fetch):
    with pytest.raises(DownloadError, match="free, the download needs") as caught:
        fetch(size=10**18)
    assert caught.value.kind == "disk"
    assert server.requests == []


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(DownloadError, match=r"file could not be written: .*\."):
        download(server.url + "/model.bin", SHA256, len(DATA), tmp_path / "file" / "model.bin")


def test_disk_that_fills_meanwhile(server, fetch, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download_module.os, "fsync", full)
    with pytest.raises(DownloadError, match="The disk is full"):
        fetch()


def test_cancel_removes_the_part(server, fetch):
    with pytest.raises(Cancelled):
        fetch(stop=lambda: part_of(fetch).exists() and part_of(fetch).stat().st_size > 0)
    assert left_over(fetch) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/m", True),
        ("https://example.org:8443/m", True),
        ("http://127.0.0.1:80/m", True),
        ("http://localhost/m", True),
        ("http://[::1]:80/m", True),
        ("http://example.org/m", False),
        ("http://127.0.0.1.example.org/m", False),
        ("http://localhost@example.org/m", False),
        ("ftp://localhost/m", False),
        ("file:///m", False),
        ("https:///m", False),
        ("m", False),
    ],
)
def test_allowed_addresses(url, expected):
    assert allowed(url) is expected


# -- the child process ------------------------------------------------------------------------


def start(server, output, path="/model.bin", **changes):
    given = {"url": server.url + path, "sha256": SHA256, "size": str(len(DATA)), "output": str(output), **changes}
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return subprocess.Popen(
        [sys.executable, "-P", str(SCRIPT), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def events_of(child):
    out, _err = child.communicate(timeout=20)
    return [json.loads(line) for line in out.splitlines()]


def test_child_reports_progress_and_ends_well(server, tmp_path):
    child = start(server, tmp_path / "m")
    # Standard input stays open until the end, as the panel keeps it.
    events = [json.loads(line) for line in child.stdout]
    assert child.wait(20) == 0
    child.stdin.close()
    child.stdout.close()
    assert events[0] == {"event": "started", "pid": child.pid}
    assert events[-2]["event"] == "progress"
    assert events[-2]["fraction"] == 1.0
    assert events[-2]["message"] == "1.0 MB of 1.0 MB"
    assert events[-1] == {"event": "done", "output": str(tmp_path / "m")}
    assert (tmp_path / "m").read_bytes() == DATA


@pytest.mark.parametrize("how", ["cancel\n", ""])
def test_child_is_canceled_by_a_line_or_by_the_end_of_its_input(server, tmp_path, how):
    server.pause = 0.05  # about 0.8 s for the whole file
    child = start(server, tmp_path / "m")
    while '"progress"' not in child.stdout.readline():
        pass
    events = events_of_rest(child, how)
    assert child.returncode == 3
    assert events[-1] == {"event": "cancelled"}
    assert list(tmp_path.iterdir()) == []


def events_of_rest(child, text):
    out, _err = child.communicate(text, timeout=20)
    return [json.loads(line) for line in out.splitlines()]


def test_killed_child_leaves_only_a_part_and_the_next_one_goes_on(server, tmp_path):
    server.pause = 0.05
    child = start(server, tmp_path / "m")
    part = tmp_path / f"m.{SHA256[:12]}.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.communicate()
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    server.pause = 0.0
    child = start(server, tmp_path / "m")
    assert json.loads(list(child.stdout)[-1])["event"] == "done"
    child.communicate()
    assert (tmp_path / "m").read_bytes() == DATA


def test_child_explains_what_went_wrong(server, tmp_path):
    child = start(server, tmp_path / "m", "/gone")
    (error,) = [json.loads(line) for line in child.stdout if '"error"' in line]
    child.communicate()
    assert child.returncode == 1
    assert error["kind"] == "http"
    assert error["message"].endswith("does not have this file any more (HTTP 404).")
    assert error["hint"]


def test_child_refuses_an_unencrypted_address(server, tmp_path):
    child = start(server, tmp_path / "m", url="http://example.org/m")
    out, _err = child.communicate()
    assert child.returncode == 2
    assert "http://example.org/m is not an https address." in out
    assert list(tmp_path.iterdir()) == []
