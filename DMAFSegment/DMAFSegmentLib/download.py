"""Downloads one file in a process of its own: resumable, checked, and there whole or not at all.

    python -P download.py --url https://HOST/FILE --sha256 HEX --size BYTES --output FILE

Standard library only. One JSON object per line on standard output: ``started``, ``progress``, then ``done`` (exit
code 0), ``error`` (1, or 2 for a wrong request) or ``cancelled`` (3). A line ``cancel`` on standard input, or its
end, cancels. Proxies are taken from the environment, as everywhere in ``urllib``.

The bytes go to ``FILE.<start of the checksum>.part`` and are renamed when size and SHA-256 are right. A cut
connection leaves that file, and the next call goes on where it stopped; everything else removes it.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BLOCK_BYTES = 2**17
_SPARE_BYTES = 16 * 2**20  # a disk filled to the last byte breaks other programs
_TIMEOUT_S = 30.0
_WAITS_S = (1.0, 3.0)  # before the second and the third try
_PROGRESS_EVERY_S = 0.2
_BAD_REQUEST, _CANCELLED = 2, 3


class DownloadError(Exception):
    """Why there is no file: one sentence for people; ``hint`` says what to do; ``kind`` is for programs."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.hint = kind, hint


class Interrupted(Exception):  # noqa: N818 - another try may go on where it stopped
    """The connection ended early."""


class Cancelled(Exception):  # noqa: N818 - not an error
    """The user asked to stop."""


def allowed(url: str) -> bool:
    """https to anywhere; http to this computer only."""
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or local)


def download(
    url: str,
    sha256: str,
    size: int,
    output: Path,
    report: Callable[[int], None] = lambda received: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Fetch ``url`` to ``output``; ``report`` gets the bytes received so far, ``stop`` is asked after each block.

    Raises:
        DownloadError: the file could not be fetched, or is not the expected one.
        Cancelled: ``stop`` returned True.
    """
    if not allowed(url):
        raise DownloadError("address", f"{url} is not an https address.", "Ask whoever keeps the catalogue of models.")
    partial = output.with_name(f"{output.name}.{sha256[:12]}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        resumed = partial.is_file() and partial.stat().st_size > 0
        _fetch(url, size, partial, report, stop)
        if _sha256(partial) != sha256 and resumed:  # the old part may be what is wrong
            partial.unlink()
            _fetch(url, size, partial, report, stop)
        if _sha256(partial) != sha256:
            raise DownloadError(
                "checksum",
                f"The file from {_host(url)} is not the one the catalogue describes (its SHA-256 differs).",
                "Nothing was installed. Tell whoever keeps the catalogue of models.",
            )
        os.replace(partial, output)
    except DownloadError as error:
        if error.kind != "connection":
            partial.unlink(missing_ok=True)
        raise
    except Cancelled:
        partial.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise _disk_error(error, output.parent) from error


def _fetch(url: str, size: int, partial: Path, report: Callable[[int], None], stop: Callable[[], bool]) -> None:
    """Bring ``partial`` to ``size`` bytes, with up to three tries that go on where the last one stopped."""
    reason = ""
    for wait in (0.0, *_WAITS_S):
        _sleep(wait, stop)
        try:
            _try_once(url, size, partial, report, stop)
            return
        except Interrupted as error:
            reason = str(error)
    have = partial.stat().st_size if partial.is_file() else 0
    if not have:
        hint = "Check the network connection and the proxy settings, or install the model from a file."
        raise DownloadError("connection", f"{_host(url)} could not be reached ({reason}).", hint)
    raise DownloadError(
        "connection",
        f"The connection to {_host(url)} broke off after {_megabytes(have)} of {_megabytes(size)} ({reason}).",
        "Try again: the download goes on where it stopped.",
    )


def _try_once(url: str, size: int, partial: Path, report: Callable[[int], None], stop: Callable[[], bool]) -> None:
    have = partial.stat().st_size if partial.is_file() else 0
    if have > size:
        partial.unlink()
        have = 0
    _check_space(partial.parent, size - have)
    if have == size:
        return
    with _open(url, have) as answer:
        start = _start(answer, have)
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and start + int(length) != size:
            _wrong_size(url, start + int(length), size)
        with partial.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            try:
                _copy(answer, stream, start, size, report, stop)
            finally:
                stream.flush()
                os.fsync(stream.fileno())
    received = partial.stat().st_size
    if received > size:
        _wrong_size(url, received, size)
    if received < size:
        raise Interrupted("the server closed it")


def _copy(
    answer: Any, stream: IO[bytes], start: int, size: int, report: Callable[[int], None], stop: Callable[[], bool]
) -> None:
    received = start
    while received <= size:
        if stop():
            raise Cancelled
        try:
            block = answer.read(_BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(_reason(error)) from error
        if not block:
            return
        stream.write(block)
        received += len(block)
        report(min(received, size))


def _open(url: str, have: int) -> Any:
    """The server's answer from byte ``have`` on.

    Raises:
        DownloadError: the server refuses, or cannot be trusted.
        Interrupted: it could not be reached this time.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "DMAFSegment"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the address was checked
    try:
        return _opener(url).open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # the part does not fit this file: begin anew
            return _open(url, 0)
        raise _http_error(url, error) from error
    except urllib.error.URLError as error:
        raise _connection_error(url, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise _connection_error(url, error) from error


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Opens http and https only, through the user's proxies unless the host is this computer."""
    local = urllib.parse.urlsplit(url).hostname in LOOPBACK
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if local else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _SafeRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from an encrypted address to an unencrypted one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request to follow, see the base class."""
        if not allowed(newurl):
            raise _bad_redirect(req.full_url, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _start(answer: Any, have: int) -> int:
    """Where the answer's bytes belong: after what is there, or at 0 when the server sends the whole file."""
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return have if answer.status == 206 and match and int(match[1]) == have else 0


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise DownloadError(
            "disk",
            f"The disk of {folder} has {_megabytes(free)} free, the download needs {_megabytes(needed)}.",
            "Free some space and try again.",
        )


def _disk_error(error: OSError, folder: Path) -> DownloadError:
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))  # Windows has no quota error
    what = "The disk is full" if full else f"{error.strerror or error}"
    hint = "Free some space and try again." if full else "Check the folder and its permissions."
    return DownloadError("disk", f"{folder} could not be written: {what}.", hint)


def _wrong_size(url: str, found: int, expected: int) -> NoReturn:
    raise DownloadError(
        "checksum",
        f"{_host(url)} sends another file than the catalogue describes ({found} bytes in place of {expected}).",
        "Nothing was installed. Tell whoever keeps the catalogue of models.",
    )


def _bad_redirect(url: str, target: str) -> DownloadError:
    hint = "Nothing was installed. Tell whoever keeps the catalogue of models."
    return DownloadError("address", f"{_host(url)} redirects to {target}, which is not an https address.", hint)


def _http_error(url: str, error: urllib.error.HTTPError) -> Exception:
    if 300 <= error.code < 400:  # urllib itself follows no other schemes than http, https and ftp
        return _bad_redirect(url, error.headers.get("Location", "another place"))
    if error.code in (408, 429) or error.code >= 500:
        return Interrupted(f"HTTP {error.code}")
    if error.code in (404, 410):
        hint = "It may have been moved: tell whoever keeps the catalogue of models."
        return DownloadError("http", f"{_host(url)} does not have this file any more (HTTP {error.code}).", hint)
    hint = "Check whether the address needs a login or a proxy."
    return DownloadError("http", f"{_host(url)} refuses to send this file (HTTP {error.code}).", hint)


def _connection_error(url: str, reason: Any) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "Ask your network administrator, or install the model from a file."
        return DownloadError("http", f"The certificate of {_host(url)} is not trusted.", hint)
    return Interrupted(_reason(reason))


def _reason(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _sleep(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stop():
            raise Cancelled
        time.sleep(0.05)


class CancelOnInput:
    """Asks standard input, without waiting, for a line ``cancel`` or its end; a terminal is left alone."""

    def __init__(self) -> None:
        self._cancelled = False
        self._file = sys.stdin.fileno()
        try:
            self._watched = not os.isatty(self._file)
            if self._watched:
                os.set_blocking(self._file, False)
        except OSError:  # then only ending the process stops it
            self._watched = False

    def __call__(self) -> bool:
        """Is the work to stop?"""
        if self._watched and not self._cancelled:
            try:
                data = os.read(self._file, 4096)
            except OSError:  # nothing there yet
                return False
            self._cancelled = not data or b"cancel" in data
        return self._cancelled


class Reporter:
    """Prints events; progress a few times a second at most."""

    def __init__(self, size: int) -> None:
        self._size, self._start = size, time.monotonic()
        self._first: int | None = None
        self._last = 0.0

    def emit(self, event: str, **fields: Any) -> None:
        """Print one event."""
        print(json.dumps({"event": event, **fields}), flush=True)

    def progress(self, received: int) -> None:
        """Print how far it is, and the seconds left as far as one can tell."""
        now = time.monotonic()
        if self._first is None:
            self._first = received  # what was there before says nothing about the speed
        if now - self._last < _PROGRESS_EVERY_S and received < self._size:
            return
        self._last = now
        done = received - self._first
        left = (self._size - received) * (now - self._start) / done if done else None
        message = f"{_megabytes(received)} of {_megabytes(self._size)}"
        self.emit("progress", fraction=received / self._size, stage="download", message=message, eta_s=left)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="https address of the file")
    parser.add_argument("--sha256", required=True, help="expected SHA-256, 64 hex digits")
    parser.add_argument("--size", required=True, type=int, help="expected size in bytes")
    parser.add_argument("--output", required=True, type=Path, help="file to write; its folder is made")
    given = parser.parse_args(arguments)
    reporter = Reporter(given.size)
    reporter.emit("started", pid=os.getpid())
    try:
        download(given.url, given.sha256, given.size, given.output, reporter.progress, CancelOnInput())
    except Cancelled:
        reporter.emit("cancelled")
        return _CANCELLED
    except DownloadError as error:
        reporter.emit("error", kind=error.kind, message=str(error), hint=error.hint)
        return _BAD_REQUEST if error.kind == "address" else 1
    reporter.emit("done", output=str(given.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
