"""BLEU, chrF and ROUGE as their libraries give them, on texts done by hand."""

import math

import pytest

from jnets.systems.measures import bleu, exact, lead, rouge


def test_bleu_by_hand():
    """All of 5 words but the last: precisions 4/5, 3/4, 2/3, 1/2, as long as is due."""
    found = bleu(["a b c d e"], [["a b c d f"]])
    precisions = 4 / 5 * 3 / 4 * 2 / 3 * 1 / 2
    assert found.bleu == pytest.approx(100 * precisions**0.25)
    short = bleu(["a b c d"], [["a b c d e"]])
    assert short.bleu == pytest.approx(100 * math.exp(1 - 5 / 4))
    assert found.signatures[0].startswith("nrefs:1|case:mixed|eff:no|tok:13a")


def test_any_reference_and_any_case():
    assert bleu(["a b c d", "x"], [["z", "a b c d"], ["x"]]).bleu == pytest.approx(100)
    assert bleu(["A B C D"], [["a b c d"]], lower=True).chrf == pytest.approx(100)
    assert bleu(["A B C D"], [["a b c d"]]).bleu < 1


def test_rouge_by_hand():
    """Two of three words, one of two pairs, two in a row; the best reference counts."""
    found = rouge(["the dog barks"], [["no", "the dog sleeps"]])
    expected = {"rouge1": 200 / 3, "rouge2": 50.0, "rougeL": 200 / 3}
    assert found == pytest.approx(expected)


def test_the_first_sentence():
    assert lead("It cost 3.5 dollars. Yes.") == "It cost 3.5 dollars."
    assert lead("no end") == "no end"
    assert exact(["a", "b"], [["a"], ["c", "d"]]) == 0.5
