"""Captions of pictures: COCO's and Flickr8k's files, what is missing, what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data.captions import read, words
from jnets.errors import InputError

COCO = {
    "images": [{"id": 7, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}],
    "annotations": [
        {"image_id": 3, "caption": "A dog runs."},
        {"image_id": 7, "caption": "Two CATS"},
        {"image_id": 3, "caption": "the dog"},
    ],
}
FLICKR = "a.jpg#0\tA dog runs .\nb.jpg#0\tTwo cats\n\na.jpg#1\tthe dog\n"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).touch()
    return folder


@pytest.fixture
def coco(tmp_path):
    """coco(**changes): COCO's file with other lists."""

    def write(**changes):
        path = tmp_path / "captions.json"
        path.write_text(json.dumps(COCO | changes))
        return path

    return write


def refusal(path, images):
    with pytest.raises(InputError) as caught:
        read(path, images)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_coco_and_flickr_are_read_alike(coco, images, tmp_path):
    token = tmp_path / "token.txt"
    token.write_text(FLICKR)
    first, second = read(coco(), images), read(token, images)
    assert first.paths == second.paths == (str(images / "a.jpg"), str(images / "b.jpg"))
    assert first.captions == (("A dog runs.", "the dog"), ("Two CATS",))
    known = [[words(text) for text in texts] for texts in first.captions]
    assert known == [[words(text) for text in texts] for texts in second.captions]
    assert first.missing == second.missing == ()


def test_pictures_that_are_not_there_are_named(coco, images):
    (images / "a.jpg").unlink()
    found = read(coco(), images)
    assert found.paths == (str(images / "b.jpg"),)
    assert found.captions == (("Two CATS",),)
    assert found.missing == ("a.jpg",)
    (images / "b.jpg").unlink()
    message = refusal(coco(), images)
    assert "none of its 2 pictures" in message and "a.jpg" in message


def test_what_is_no_file_of_captions(coco, images, tmp_path):
    assert 'no list "images"' in refusal(coco(images={}), images)
    assert "images[0]" in refusal(coco(images=[{"id": 1}]), images)
    note = {"image_id": 3, "caption": 5}
    assert "annotations[0]" in refusal(coco(annotations=[note]), images)
    note = {"image_id": 5, "caption": "a dog"}
    assert "image_id 5 is none" in refusal(coco(annotations=[note]), images)
    note = {"image_id": 3, "caption": " . "}
    assert "no word" in refusal(coco(annotations=[note]), images)
    path = coco()
    path.write_text('{"images": [],\n"annotations": [}')
    assert "line 2" in refusal(path, images)
    token = tmp_path / "token.txt"
    token.write_text(FLICKR + "c.jpg no number\n")
    assert "line 5" in refusal(token, images)
    token.write_text("a.jpg#0\t...\n")
    assert "line 1: no word" in refusal(token, images)


def test_words():
    assert words("A man's dog, [male] & 2 cats--running!") == [
        *("a", "man's", "dog", "[male]", "2", "cats", "running"),
    ]
    assert words("Ein schöner Hund_") == ["ein", "schöner", "hund"]


@given(st.text())
def test_words_of_words_are_the_same(text):
    once = words(text)
    assert words(" ".join(once)) == once
