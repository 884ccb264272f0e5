"""The models of text, and of pictures told in words, by name."""

from typing import Any

from jnets.models.attention_seq2seq import AttentionSeq2Seq
from jnets.models.attentive_captioner import AttentiveCaptioner
from jnets.models.captioner import Captioner
from jnets.models.document_classifier import BagOfWords, DocumentClassifier
from jnets.models.entry import Entry
from jnets.models.language_model import LanguageModel
from jnets.models.seq2seq import Seq2Seq
from jnets.models.storyteller import Storyteller
from jnets.models.tagger import Tagger

_DOCUMENT = (((40,), "int32"), ((), "int32"))  # words by number, how many there are
# Words and their letters by number, how many words there are.
_SENTENCE = (((20,), "int32"), ((20, 16), "int32"), ((), "int32"))
# Source and its length, and the target as far as it is read.
_PAIR = (((8,), "int32"), ((), "int32"), ((8,), "int32"))
_CAPTIONED = (((224, 224, 3), "float32"), ((20,), "int32"))  # a picture, words
_STORY = (((5, 224, 224, 3), "float32"), ((5, 20), "int32"))  # pictures, sentences
_WINDOW = (((35,), "int32"),)  # symbols of a window


def _zaremba(hidden: int, dropout: float) -> dict[str, Any]:
    """Zaremba et al. 2014, section 4.1: words of the Penn Treebank."""
    sizes = {"vocabulary": 10_000, "embedding": hidden, "hidden": hidden}
    return sizes | {"dropout": dropout}


TEXTS: dict[str, Entry] = {
    "tagger": Entry(Tagger, {}, _SENTENCE, "BiLSTM tagger of words and letters"),
    "document_classifier": Entry(
        DocumentClassifier, {}, _DOCUMENT, "BiLSTM over the words of a text, pooled"
    ),
    "bag_of_words": Entry(BagOfWords, {}, _DOCUMENT, "linear in the counts of words"),
    "language_model": Entry(
        LanguageModel, {}, _WINDOW, "LSTM that tells the next character"
    ),
    "word_lstm_small": Entry(
        LanguageModel, _zaremba(200, 0.0), _WINDOW, "Zaremba's small LSTM over words"
    ),
    "word_lstm_medium": Entry(
        LanguageModel, _zaremba(650, 0.5), _WINDOW, "the medium one"
    ),
    "word_lstm_large": Entry(
        LanguageModel, _zaremba(1500, 0.65), _WINDOW, "the large one"
    ),
    "seq2seq": Entry(Seq2Seq, {}, _PAIR, "translation by two stacks of LSTMs"),
    "attention_seq2seq": Entry(
        AttentionSeq2Seq, {}, _PAIR, "translation by learning to align"
    ),
    "captioner": Entry(
        Captioner, {}, _CAPTIONED, "Show and Tell: a CNN, an LSTM that tells"
    ),
    "captioner_attention": Entry(
        AttentiveCaptioner, {}, _CAPTIONED, "Show, Attend and Tell: soft attention"
    ),
    "storyteller": Entry(
        Storyteller, {}, _STORY, "five pictures, a sentence each, by GRUs"
    ),
}
