"""VIST's stories: order, what is missing, what is wrong; folders of five pictures."""

import json

import pytest

from jnets.data.stories import FUNCTION_WORDS, album, read
from jnets.errors import InputError


def note(story, place, text=None, photo=None):
    return [
        {
            "story_id": str(story),
            "photo_flickr_id": str(photo or 10 * story + place),
            "worker_arranged_photo_order": place,
            "text": text or f"story {story} sentence {place}.",
            "album_id": "1",
        }
    ]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (*range(10, 15), *range(20, 25)):
        (folder / f"{number}.{'png' if number % 2 else 'jpg'}").touch()
    return folder


@pytest.fixture
def file(tmp_path):
    """file(notes): VIST's file with these annotations."""

    def write(notes):
        path = tmp_path / "sis.json"
        path.write_text(json.dumps({"albums": [], "images": [], "annotations": notes}))
        return path

    return write


def refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


MIXED = [note(1, k) for k in (3, 0, 4)] + [note(2, k) for k in range(5)]
MIXED += [note(1, 1), note(1, 2)]


def test_sentences_are_in_the_order_of_the_pictures(file, images):
    found = read(file(MIXED), images)
    assert [[path[-6:-4] for path in album] for album in found.albums] == [
        ["10", "11", "12", "13", "14"],
        ["20", "21", "22", "23", "24"],
    ]
    assert found.sentences[0] == tuple(f"story 1 sentence {k}." for k in range(5))
    assert found.missing == ()


def test_a_story_without_a_picture_is_left_out(file, images):
    (images / "12.jpg").unlink()
    found = read(file(MIXED), images)
    assert len(found.albums) == 1 and found.missing == ("12",)
    (images / "24.jpg").unlink()
    assert "none of its 2 stories" in refusal(read, file(MIXED), images)


def test_what_is_no_file_of_stories(file, images):
    assert "annotations[0]" in refusal(read, file([{"text": "a"}]), images)
    bad = [[note(1, 0)[0], note(1, 1)[0]]]
    assert "annotations[0]" in refusal(read, file(bad), images)
    assert "places [0, 1, 2, 3]" in refusal(read, file(MIXED[3:7]), images)
    assert "another sentence" in refusal(read, file([*MIXED, note(1, 3)]), images)
    assert "no word" in refusal(read, file([note(1, 0, "...")]), images)
    assert "no list" in refusal(read, file({}), images)
    assert "not a folder" in refusal(read, file(MIXED), images / "none")


def test_an_album_is_five_pictures_by_name(tmp_path):
    for name in ("e.png", "a.JPG", "c.jpg", "b.png", "d.jpg", "notes.txt"):
        (tmp_path / name).touch()
    names = [path.rsplit("/", 1)[1] for path in album(tmp_path)]
    assert names == ["a.JPG", "b.png", "c.jpg", "d.jpg", "e.png"]
    (tmp_path / "c.jpg").unlink()
    assert "4 pictures in it; expected 5" in refusal(album, tmp_path)
    assert "not a folder" in refusal(album, tmp_path / "none")


def test_function_words_are_no_content():
    assert {"the", "was", "and"} <= FUNCTION_WORDS
    assert not {"dog", "left", "happy", ""} & FUNCTION_WORDS
