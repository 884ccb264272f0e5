"""Folders of frames: their order, their parts, and clips of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jnets.data import frames
from jnets.data.clip_stream import ClipStream, Seen
from jnets.data.picture_spec import PictureSpec
from jnets.errors import InputError

SEEN = Seen(frames=4, size=6, shorter=8, mirror=True)


def refusal(call, *arguments, **more):
    with pytest.raises(InputError) as error:
        call(*arguments, **more)
    message = str(error.value)
    assert "\n" not in message
    return message


def video(folder, count, size=(8, 8), value=lambda number: 10 * number):
    """Frames of rising grey, darker at the left; numbers without leading zeros."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        picture = np.full((size[1], size[0], 3), value(number), np.uint8)
        picture[:, 0] = 255
        Image.fromarray(picture).save(folder / f"frame-{number}.png")
    return folder


@pytest.fixture(scope="module")
def ucf(tmp_path_factory):
    """Two classes of three recordings, of two clips each but one."""
    root = tmp_path_factory.mktemp("ucf")
    for name in ("Walk", "Archery"):
        for group in (1, 2, 3):
            for clip in (1, 2)[: 1 if group == 3 else 2]:
                video(root / name / f"v_{name}_g0{group}_c0{clip}", 11)
    return root


def names(videos):
    return ["/".join(folder.split("/")[-2:]) for folder in videos.folders]


def test_natural_order(tmp_path):
    folder = video(tmp_path / "v", 11)
    (folder / "notes.txt").write_text("not a frame")
    found = [path.rsplit("/", 1)[1] for path in frames.read_video(folder)]
    assert found == [f"frame-{number}.png" for number in range(1, 12)]
    assert sorted(["a10b2", "a9", "b", "a10b1", "10", "9"], key=frames.natural) == [
        *("9", "10", "a9", "a10b1", "a10b2", "b")
    ]


def test_recordings_are_held_out_whole(ucf):
    train, test = frames.read(ucf, held_out=0.4, seed=3)
    assert train.classes == test.classes == ("Archery", "Walk")
    assert train.size + test.size == 10
    groups = [{name.rsplit("_", 1)[0] for name in names(v)} for v in (train, test)]
    assert not groups[0] & groups[1]
    assert np.all(np.bincount(test.labels) > 0)
    for part in (train, test):
        expected = [part.classes[k] for k in part.labels]
        assert [name.split("/")[0] for name in names(part)] == expected
    again = frames.read(ucf, held_out=0.4, seed=3)[1]
    assert again.folders == test.folders
    seeds = {frames.read(ucf, held_out=0.4, seed=s)[1].folders for s in range(6)}
    assert len(seeds) > 1


def test_lists_of_ucf101(ucf, tmp_path):
    root = tmp_path / "listed"
    root.symlink_to(ucf)
    lines = {
        "trainlist02.txt": "Walk/v_Walk_g02_c01.avi 2\n\n"
        "Archery/v_Archery_g01_c01.avi 1",
        "testlist02.txt": "Archery/v_Archery_g03_c01.avi\n",
    }
    try:
        for name, text in lines.items():
            (ucf / name).write_text(text)
        train, test = frames.read(root, split=2)
        assert names(train) == ["Walk/v_Walk_g02_c01", "Archery/v_Archery_g01_c01"]
        assert names(test) == ["Archery/v_Archery_g03_c01"]
        assert train.labels.tolist() == [1, 0]
        assert "trainlist01.txt" in refusal(frames.read, root)
        (ucf / "testlist02.txt").write_text("Archery/v_none.avi")
        assert "testlist02.txt: line 1: no folder" in refusal(
            frames.read, root, split=2
        )
        (ucf / "testlist02.txt").write_text("")
        assert "no videos" in refusal(frames.read, root, split=2)
    finally:
        for name in lines:
            (ucf / name).unlink()


def test_parts(tmp_path):
    for part, name in (("train", "a"), ("train", "b"), ("test", "b")):
        video(tmp_path / part / name / "v", 1)
    train, test = frames.read(tmp_path)
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1]
    video(tmp_path / "test" / "c" / "v", 1)
    assert "class 'c' is not in train/" in refusal(frames.read, tmp_path)
    (tmp_path / "val").mkdir()
    assert "2 folders beside it" in refusal(frames.read, tmp_path)


def test_what_is_no_folder_of_videos(tmp_path):
    assert "cannot be read" in refusal(frames.read, tmp_path / "none")
    assert "0 class folders" in refusal(frames.read, tmp_path)
    for name in "ab":
        video(tmp_path / name / "v", 1)
    assert "class 'a': one video" in refusal(frames.read, tmp_path)
    assert "held_out=1.5" in refusal(frames.read, tmp_path, held_out=1.5)
    (tmp_path / "c").mkdir()
    assert "class 'c' has no videos" in refusal(frames.read, tmp_path)
    (tmp_path / "c" / "v").mkdir()
    assert "c/v: no frames" in refusal(frames.read, tmp_path)
    assert "cannot be read" in refusal(frames.read_video, tmp_path / "a" / "v" / "f")


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 20), st.integers(1, 20))
def test_clips_hold_every_frame(count, length, stride):
    at = frames.starts(count, length, stride)
    assert at == sorted(set(at)) and at[0] == 0 and at[-1] == max(count - length, 0)
    cut, lengths = frames.clips(np.arange(1, count + 1), length, stride)
    assert cut.shape == (len(at), length)
    assert set(lengths.tolist()) == {min(count, length)}
    assert set(cut[cut > 0].tolist()) == set(range(1, count + 1))
    for start, clip in zip(at, cut, strict=True):
        assert clip[0] == start + 1 and np.all(np.diff(clip[clip > 0]) == 1)


def test_clips_of_the_paper():
    assert frames.starts(40, 16, 8) == [0, 8, 16, 24]
    assert frames.starts(41, 16, 8) == [0, 8, 16, 24, 25]
    assert frames.starts(16, 16, 8) == frames.starts(5, 16, 8) == [0]


def test_loading(tmp_path):
    paths = frames.read_video(video(tmp_path / "v", 3, size=(16, 8)))
    x = frames.load(paths, PictureSpec(4, 8, "torchvision"))
    assert x.shape == (3, 4, 4, 3) and x[:, 0, 0, 0].tolist() == [10, 20, 30]


@pytest.fixture(scope="module")
def batches(ucf):
    videos, _ = frames.read(ucf, held_out=0.4, seed=0)
    stream = ClipStream(videos, SEEN, batch=4, seed=5)
    found = stream.batches()
    return videos, stream, [next(found) for _ in range(3 * stream.per_epoch)]


def test_an_epoch_has_every_video_once(batches):
    videos, stream, found = batches
    for epoch in range(3):
        updates = range(epoch * stream.per_epoch, (epoch + 1) * stream.per_epoch)
        seen = [folder for u in updates for folder in stream.examples(u)]
        assert sorted(seen) == sorted(videos.folders)
    orders = [stream.examples(u * stream.per_epoch) for u in range(3)]
    assert orders[0] != orders[1] or orders[1] != orders[2]
    weights = [weights.sum() for *_, weights in found]
    assert sum(weights) == 3 * videos.size


def test_clips_are_frames_in_a_row_seen_alike(batches):
    _, _, found = batches
    starts, edges = set(), set()
    for x, lengths, labels, weights in found:
        assert x.shape == (4, 4, 6, 6, 3) and x.dtype == np.uint8
        for clip, length, label, weight in zip(
            x, lengths, labels, weights, strict=True
        ):
            if not weight:
                assert np.all(label == -1)
                continue
            assert length == 4 and len(set(label.tolist())) == 1
            middle = clip[:, 0, 3, 0].astype(int)
            assert np.all(np.diff(middle) == 10)
            starts.add(int(middle[0]))
            bright = clip[..., 0] == 255
            assert np.all(bright == bright[0])  # one crop and one side for all frames
            edges.add((bool(bright[0, 0, 0]), bool(bright[0, 0, -1])))
    assert len(starts) > 3 and edges == {(True, False), (False, True), (False, False)}


def test_a_batch_depends_on_its_number_alone(batches):
    videos, stream, found = batches
    other = ClipStream(videos, SEEN, batch=4, seed=5, threads=1).batches(first=2)
    for a, b in zip(found[2], next(other), strict=True):
        np.testing.assert_array_equal(a, b)
    other.close()
    reseeded = next(ClipStream(videos, SEEN, batch=4, seed=6).batches())
    assert not np.array_equal(found[0][0], reseeded[0])


def test_short_videos_are_filled_up(tmp_path):
    for name, count in (("a", 2), ("b", 9)):
        video(tmp_path / "train" / name / "v", count)
        video(tmp_path / "test" / name / "v", count)
    train, _ = frames.read(tmp_path)
    x, lengths, labels, weights = next(
        ClipStream(train, SEEN, batch=3, seed=0).batches()
    )
    (short,) = np.flatnonzero(lengths == 2)
    assert labels[short].tolist() == [0, 0, -1, -1] and np.all(x[short, 2:] == 0)
    assert sorted(lengths.tolist()) == [1, 2, 4] and weights.tolist() == [1, 1, 0]


def test_what_cannot_be_a_clip(tmp_path):
    for part in ("train", "test"):
        for name in "ab":
            video(tmp_path / part / name / "v", 3)
    videos, _ = frames.read(tmp_path)
    bad = refusal(ClipStream, videos, SEEN._replace(size=9), batch=1, seed=0)
    assert "size=9" in bad
    Image.new("RGB", (20, 10)).save(tmp_path / "train/a/v/frame-2.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "train/b/v/frame-2.png")
    stream = ClipStream(videos, SEEN, batch=2, seed=0).batches()
    assert "expected one size" in refusal(next, stream)
    for name in "ab":
        (tmp_path / f"train/{name}/v/frame-1.png").write_bytes(b"no picture")
    stream = ClipStream(videos, SEEN, batch=2, seed=0).batches()
    assert "frame-1.png: not a readable picture" in refusal(next, stream)
