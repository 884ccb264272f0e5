"""CoNLL-U: what is a word in it, and what is said of what is none."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data.conllu import Tagged, read, read_folder
from jnets.errors import InputError

# What the format allows: comments, a range, an empty node, "_" as a word.
SAMPLE = """\
# sent_id = 1
# text = Don't _ !
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tDo\tdo\tAUX\tVB\t_\t0\troot\t_\t_
2\tn't\tnot\tPART\tRB\t_\t1\tadvmod\t_\t_
2.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t1:x\t_
3\t_\t_\tSYM\tNFP\t_\t1\tdep\t_\t_
4\t!\t!\tPUNCT\t.\t_\t1\tpunct\t_\t_

# only a comment

1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""
WORDS = ("Do", "n't", "_", "!")


def line(number, word, tag):
    return f"{number}\t{word}\t_\t{tag}\tX\t_\t0\troot\t_\t_"


@pytest.mark.parametrize("name", ["a.conllu", "a.conllu.gz"])
def test_words_and_tags(tmp_path, name):
    data = SAMPLE.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    first, second = read(path)
    assert first == Tagged(WORDS, ("AUX", "PART", "SYM", "PUNCT"))
    assert second == Tagged(("Yes",), ("INTJ",))
    assert read(path, tags="xpos")[0] == Tagged(WORDS, ("VB", "RB", "NFP", "."))


words = st.text("abÄ,._-", min_size=1)
tags = st.sampled_from(["NOUN", "X"])


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(words, tags), min_size=1), min_size=1))
def test_what_is_written_comes_back(tmp_path_factory, sentences):
    path = tmp_path_factory.mktemp("conllu") / "a.conllu"
    texts = (
        "\n".join(line(i, *pair) for i, pair in enumerate(sentence, 1))
        for sentence in sentences
    )
    path.write_text("\n\n".join(texts), encoding="utf-8")
    found = read(path)
    assert [list(zip(*one, strict=True)) for one in found] == sentences


@pytest.mark.parametrize(
    "text, message",
    [
        ("1\tDo\tdo\tAUX\n", "line 1: 4 columns between tabs; expected 10"),
        ("# a\n" + line(2, "x", "X"), "line 2: word '2'; expected word 1"),
        (line(1, "x", "X") + "\n" + line(1, "x", "X"), "line 2: .*expected word 2"),
        (line("a", "x", "X"), "line 1: word 'a'"),
        (line(1, "x", "_"), "line 1: word 1 has no form or no upos tag"),
        (line(1, "", "X"), "line 1: word 1 has no form"),
        ("", "no sentences"),
        ("# a\n\n", "no sentences"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, message):
    path = tmp_path / "bad.conllu"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_column(tmp_path):
    with pytest.raises(InputError, match="tags='lemma' is unknown"):
        read(tmp_path, tags="lemma")


def test_a_folder_has_a_file_for_each_part(tmp_path):
    for part in ("train", "dev", "test"):
        (tmp_path / f"en-ud-{part}.conllu").write_text(line(1, part, "X"))
    (tmp_path / ".train.conllu").write_text("hidden")
    (tmp_path / "train.txt").write_text("other")
    found = read_folder(tmp_path)
    assert {part: one[0].words for part, one in found.items()} == {
        "train": ("train",),
        "dev": ("dev",),
        "test": ("test",),
    }
    (tmp_path / "other-dev.conllu.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"\*dev\*.*found \['en-ud-dev"):
        read_folder(tmp_path)
    with pytest.raises(InputError, match=r"\*train\*.*found none"):
        read_folder(tmp_path / "nowhere")
