"""fetch against a real server: resumed, verified, never a wrong or half file."""

import hashlib
import importlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jnets.data.fetch import RemoteFile, fetch
from jnets.errors import InputError

ROOT = Path(__file__).parents[2]
CONTENT = np.random.default_rng(0).bytes(300_000)
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def remote(mirror):
    """A RemoteFile with one mirror for each manner given."""
    mirror.files["f.bin"] = CONTENT

    def make(*manners):
        urls = tuple(mirror.url(manner, "f.bin") for manner in manners)
        return RemoteFile("f.bin", urls, SHA256, len(CONTENT))

    return make


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_downloads_whole_file_and_reports_progress(remote, tmp_path):
    seen = []
    path = fetch(
        remote("plain"),
        tmp_path / "new" / "folder",
        progress=lambda done, size: seen.append((done, size)),
    )
    assert path == tmp_path / "new" / "folder" / "f.bin"
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["f.bin"]
    assert seen == sorted(seen) and len(seen) > 1
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_present_file_is_not_downloaded(remote, mirror, tmp_path):
    (tmp_path / "f.bin").write_bytes(CONTENT)
    assert fetch(remote("404"), tmp_path) == tmp_path / "f.bin"
    assert mirror.requests == []


@pytest.mark.parametrize("old", [b"", b"short", CONTENT[::-1]])
def test_wrong_file_of_that_name_is_replaced(remote, tmp_path, old):
    (tmp_path / "f.bin").write_bytes(old)
    assert fetch(remote("plain"), tmp_path).read_bytes() == CONTENT


def test_cut_connection_keeps_bytes_and_next_call_resumes(remote, mirror, tmp_path):
    with pytest.raises(InputError) as caught:
        fetch(remote("cut"), tmp_path)
    message = one_line(caught)
    assert f"connection closed at {HALF} of {len(CONTENT)} bytes" in message
    assert "the same command resumes" in message
    assert str(tmp_path / "f.bin") in message
    assert (tmp_path / "f.bin.part").read_bytes() == CONTENT[:HALF]
    assert names(tmp_path) == ["f.bin.part"]
    assert fetch(remote("cut"), tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["f.bin"]
    assert [wanted for _, wanted in mirror.requests] == [None, f"bytes={HALF}-"]


def test_second_mirror_goes_on_where_the_first_was_cut(remote, mirror, tmp_path):
    assert fetch(remote("cut", "plain"), tmp_path).read_bytes() == CONTENT
    assert mirror.requests[1] == ("/plain/f.bin", f"bytes={HALF}-")


def test_server_without_ranges_starts_over(remote, mirror, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(remote("norange"), tmp_path).read_bytes() == CONTENT
    assert mirror.requests == [("/norange/f.bin", "bytes=1000-")]


def test_silence_times_out_and_keeps_bytes(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("jnets.data.fetch"), "_TIMEOUT", 0.2)
    with pytest.raises(InputError, match="timed out.*the same command resumes"):
        fetch(remote("stall"), tmp_path)
    kept = (tmp_path / "f.bin.part").read_bytes()
    assert kept and CONTENT.startswith(kept)


def test_wrong_checksum_is_deleted_and_named(remote, mirror, tmp_path):
    with pytest.raises(InputError) as caught:
        fetch(remote("wrong"), tmp_path)
    message = one_line(caught)
    assert mirror.url("wrong", "f.bin") in message
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in message
    assert SHA256 in message
    assert names(tmp_path) == []


def test_wrong_mirror_then_right_one(remote, tmp_path):
    assert fetch(remote("wrong", "plain"), tmp_path).read_bytes() == CONTENT


def test_404_then_mirror(remote, mirror, tmp_path):
    assert fetch(remote("404", "plain"), tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in mirror.requests] == ["/404/f.bin", "/plain/f.bin"]


def test_every_mirror_failing_lists_all_reasons(remote, mirror, tmp_path):
    dead = remote("404")._replace(
        urls=(mirror.url("404", "f.bin"), "http://127.0.0.1:1/f.bin")
    )
    with pytest.raises(InputError) as caught:
        fetch(dead, tmp_path)
    message = one_line(caught)
    assert "HTTP 404" in message and "refused" in message
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("short", "offers 299999 bytes, expected 300000"),
        ("long", "offers 300004 bytes, expected 300000"),
        ("chunked-long", "more than the 300000 bytes expected"),
        ("shifted", "sends bytes 999-299999/300000, asked for bytes from 1000"),
    ],
)
def test_wrong_length_or_range_is_refused(remote, tmp_path, manner, reason):
    (tmp_path / "f.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(InputError) as caught:
        fetch(remote(manner), tmp_path)
    assert reason in one_line(caught)
    assert not (tmp_path / "f.bin").exists()


@pytest.mark.parametrize(
    "left",
    [b"x" * 1000, CONTENT[:-1] + b"x", b"x" * len(CONTENT), CONTENT + b"x", CONTENT],
)
def test_any_part_left_behind_ends_in_the_right_file(remote, tmp_path, left):
    (tmp_path / "f.bin.part").write_bytes(left)
    assert fetch(remote("plain"), tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["f.bin"]


def test_directory_that_is_a_file(remote, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        fetch(remote("plain"), tmp_path / "file")


def start(file, directory):
    program = (
        "from jnets.data.fetch import RemoteFile, fetch\n"
        f"print(fetch({file!r}, {str(directory)!r}))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_killed_process_leaves_a_part_that_resumes(remote, mirror, tmp_path):
    part = tmp_path / "f.bin.part"
    with start(remote("slow"), tmp_path) as process:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    kept = part.read_bytes()
    assert 0 < len(kept) < len(CONTENT) and CONTENT.startswith(kept)
    assert names(tmp_path) == ["f.bin.part"]
    assert fetch(remote("plain"), tmp_path).read_bytes() == CONTENT
    assert mirror.requests[-1] == ("/plain/f.bin", f"bytes={len(kept)}-")


def test_concurrent_processes_download_once(remote, mirror, tmp_path):
    processes = [start(remote("slow"), tmp_path) for _ in range(3)]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert (process.returncode, output) == (0, f"{tmp_path / 'f.bin'}\n")
    assert (tmp_path / "f.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["f.bin"]
    assert len(mirror.requests) == 1
