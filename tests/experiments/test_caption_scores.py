"""The metrics of what is told, by hand and by their formulas."""

import builtins
import math
from collections import Counter

import numpy as np
import pytest

from experiments.caption_scores import bleu, cider, scores
from jnets.errors import InputError


def test_bleu_by_hand():
    """Papineni et al. 2002: 2 of 7 words clipped; 6 words for 7, exp(1 - 7/6)."""
    told = ["the the the the the the the"]
    known = [["the cat is on the mat", "there is a cat on the mat"]]
    assert bleu(told, known, 1) == pytest.approx(100 * 2 / 7)
    assert bleu(told, known, 2) == 0
    told, known = ["a b c d e f"], [["a b c d x e f"]]
    precisions = [6 / 6, 4 / 5, 2 / 4, 1 / 3]
    for n in (1, 2, 3, 4):
        mean = math.exp(np.mean(np.log(precisions[:n])))
        assert bleu(told, known, n) == pytest.approx(100 * mean * math.exp(1 - 7 / 6))


def test_bleu_of_many_references_is_that_of_the_lists():
    """Pictures with fewer references repeat theirs, which changes nothing."""
    told = ["a b c", "d e f"]
    once = bleu(told, [["a b x", "c b c"], ["d e"]], 2)
    assert once == pytest.approx(bleu(told, [["a b x", "c b c"], ["d e", "d e"]], 2))


def formula(told, references):
    """CIDEr-D (Vedantam et al. 2015, eq. 1 to 3 and section "CIDEr-D")."""

    def grams(text, n):
        words = text.split()
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    def vector(text, n):
        count = {
            gram: sum(any(gram in grams(r, n) for r in known) for known in references)
            for gram in grams(text, n)
        }
        return {
            gram: times * math.log(len(references) / max(1, count[gram]))
            for gram, times in grams(text, n).items()
        }

    def norm(v):
        return math.sqrt(sum(x * x for x in v.values()))

    total = []
    for text, known in zip(told, references, strict=True):
        for reference in known:
            # Lengths are counted in pairs of words.
            gap = len(text.split()) - len(reference.split())
            for n in (1, 2, 3, 4):
                a, b = vector(text, n), vector(reference, n)
                dot = sum(min(x, b.get(g, 0)) * b.get(g, 0) for g, x in a.items())
                length = norm(a) * norm(b) or 1
                total.append(10 * dot / length * math.exp(-(gap**2) / 72) / len(known))
    return sum(total) / 4 / len(told)


def test_cider_is_its_formula():
    told = ["a red dog runs fast", "two cats", "a bird flies"]
    known = [
        ["a red dog runs", "the dog runs fast today"],
        ["two cats sit here", "cats and dogs sit"],
        ["a bird flies", "the bird flies away"],
    ]
    assert cider(told, known) == pytest.approx(formula(told, known))


def test_cider_by_hand():
    """Two pictures, all words of one alone: each n-gram of log 2, cosine 1, times 10;
    of captions of two words there are n-grams up to 2."""
    assert cider(["a b", "c d"], [["a b"], ["c d"]]) == pytest.approx(10 * 2 / 4)
    assert cider(["c d", "a b"], [["a b"], ["c d"]]) == 0


def test_all_scores():
    found = scores(["a b c d", "e f g h"], [["x", "a b c d"], ["e f g i"]])
    names = ["exact_accuracy", "bleu1", "bleu2", "bleu3", "bleu4", "cider"]
    assert list(found) == names and found["exact_accuracy"] == 0.5


@pytest.mark.parametrize("name", ["sacrebleu", "pycocoevalcap"])
def test_without_its_library(name, monkeypatch):
    known = builtins.__import__

    def refuse(module, *rest):
        if module.startswith(name):
            raise ImportError
        return known(module, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=rf'{name} is missing; pip install "jnets\['):
        scores(["a"], [["a"]])
