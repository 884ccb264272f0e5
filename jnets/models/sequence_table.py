"""The models of sequences of pictures or of vectors, by name."""

from jnets.models.action_recogniser import LRCN, LRCN_CNN, ActionRecogniser
from jnets.models.alexnet import AlexNet
from jnets.models.entry import Entry
from jnets.models.sequence_reader import SequenceReader

_RGB_227 = (((227, 227, 3), "float32"),)
_CLIP_227 = (((16, 227, 227, 3), "float32"), ((), "int32"))  # frames, their number
_CLIP_32 = (((16, 32, 32, 3), "float32"), ((), "int32"))
_SERIES = (((29, 12), "float32"), ((), "int32"))  # JapaneseVowels' longest, its length
_STEPS = (((100, 2), "float32"),)  # of the adding problem

SEQUENCES: dict[str, Entry] = {
    "lrcn_fc6": Entry(
        AlexNet, LRCN_CNN, _RGB_227, "the CNN of LRCN, to its fc6", "lrcn"
    ),
    "lrcn": Entry(
        ActionRecogniser, LRCN, _CLIP_227, "LRCN for actions, of colours", "lrcn"
    ),
    "lrcn_flow": Entry(
        ActionRecogniser,
        LRCN | {"hidden": 1024},
        _CLIP_227,
        "the same, of optical flow",
        "lrcn",
    ),
    "action_recogniser": Entry(
        ActionRecogniser, {}, _CLIP_32, "a small CNN, an LSTM over its frames"
    ),
    "series_recogniser": Entry(
        ActionRecogniser,
        {"encoder": "", "bidirectional": True, "pooled": True},
        _SERIES,
        "an LSTM both ways over a series",
    ),
    "sequence_reader": Entry(
        SequenceReader, {}, _STEPS, "a recurrent layer, read at its end"
    ),
}
