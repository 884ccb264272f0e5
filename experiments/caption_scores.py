"""How far what is told agrees with what people wrote: the metrics of the field."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jnets.errors import InputError

Scores = dict[str, float]
References = Sequence[Sequence[str]]  # of each picture, at least one


def scores(told: Sequence[str], references: References) -> Scores:
    """BLEU-1 to 4, CIDEr, and the share of those told exactly as one of the references.

    Texts are words with blanks between, without punctuation. Errors: InputError where
    sacrebleu or pycocoevalcap is not installed.
    """
    pairs = zip(told, references, strict=True)
    exact = float(np.mean([text in known for text, known in pairs]))
    found = {f"bleu{n}": bleu(told, references, n) for n in (1, 2, 3, 4)}
    return {"exact_accuracy": exact} | found | {"cider": cider(told, references)}


def bleu(told: Sequence[str], references: References, order: int) -> float:
    """BLEU of n-grams up to `order`, of the whole corpus, 0 to 100; sacrebleu's.

    Papineni et al. 2002: the geometric mean of clipped precisions times exp(1 - r / c)
    where the c words told are fewer than the r of the nearest references. Nothing is
    smoothed, as in COCO's evaluation.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise _missing("sacrebleu") from None
    # One list for each reference; those that have fewer repeat theirs.
    most = max(map(len, references))
    streams = [[known[i % len(known)] for known in references] for i in range(most)]
    metric = BLEU(tokenize="none", max_ngram_order=order, smooth_method="none")
    return metric.corpus_score(list(told), streams).score


def cider(told: Sequence[str], references: References) -> float:
    """CIDEr-D, 0 to 10, as COCO's evaluation code has it (Vedantam et al. 2015).

    10 mean_n of the cosine between tf-idf vectors of n-grams, n = 1 to 4, told counts
    clipped to the reference's, times exp(-(difference in length)^2 / 72), the mean over
    references. Rarity is that in `references`: of one picture alone all is 0. The
    published figures are 100 times the mean over n, "85.5", so 10 times this.
    """
    try:
        from pycocoevalcap.cider.cider import Cider
    except ImportError:
        raise _missing("pycocoevalcap") from None
    known: dict[int, Any] = {i: list(texts) for i, texts in enumerate(references)}
    found: dict[int, Any] = {i: [text] for i, text in enumerate(told)}
    score, _ = Cider().compute_score(known, found)
    return float(score)


def _missing(package: str) -> InputError:
    return InputError(f'{package} is missing; pip install "jnets[experiments]"')
