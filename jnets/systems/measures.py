"""The figures of translations and summaries, by the libraries that define them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jnets.errors import InputError

INSTALL = 'pip install "jnets[experiments]"'
ROUGES = ("rouge1", "rouge2", "rougeL")


class Bleu(NamedTuple):
    """BLEU and chrF2 of a corpus, 0 to 100, and what says how they were computed."""

    bleu: float
    chrf: float
    signatures: tuple[str, str]


def bleu(
    written: Sequence[str], references: Sequence[Sequence[str]], *, lower: bool = False
) -> Bleu:
    """By sacrebleu (Post 2018): its default tokenisation, of texts as they are.

    `references[i]` are those of text i, one or more; `lower` ignores case.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise InputError(f"BLEU needs sacrebleu: {INSTALL}") from None
    most = max(map(len, references))
    columns: Any = [
        [row[i] if i < len(row) else None for row in references] for i in range(most)
    ]
    metrics = BLEU(lowercase=lower), CHRF(lowercase=lower)
    scores = [metric.corpus_score(list(written), columns).score for metric in metrics]
    signatures = str(metrics[0].get_signature()), str(metrics[1].get_signature())
    return Bleu(scores[0], scores[1], signatures)


def rouge(
    written: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Mean F-measure, 0 to 100, of ROUGE-1, -2 and -L (Lin 2004), by rouge-score.

    With Porter's stemmer; of several references that with the best figure counts.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise InputError(f"ROUGE needs rouge-score: {INSTALL}") from None
    scorer = RougeScorer(list(ROUGES), use_stemmer=True)
    sums = dict.fromkeys(ROUGES, 0.0)
    for text, targets in zip(written, references, strict=True):
        scores = scorer.score_multi(list(targets), text)
        for name in ROUGES:
            sums[name] += scores[name].fmeasure
    return {name: 100 * total / len(written) for name, total in sums.items()}


def exact(written: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of texts that are one of their references."""
    hits = (text in row for text, row in zip(written, references, strict=True))
    return sum(hits) / len(written)


def lead(text: str) -> str:
    """The first sentence of a text: what a summary has to be better than.

    >>> lead("It rained. We stayed at home.")
    'It rained.'
    """
    for i, sign in enumerate(text):
        if sign in ".!?" and text[i + 1 : i + 2] in (" ", ""):
            return text[: i + 1]
    return text
