"""A recurrent net learns to write: characters, or words, of any text.

    python -m experiments.language_model                  source of Python's library
    python -m experiments.language_model --data-dir FILE  a text, or a folder of them
    python -m experiments.language_model --data-dir wikitext2 --units words

Rows of the text are read side by side in windows, the state carried from each to the
next (truncated BPTT). The last tenth of the text, if it does not come divided, is to
validate on. The run has samples.txt, the learning curve beside what counts of
characters and of pairs reach, and a picture of what surprised the net in a text that
it has not seen. Then `jnets sample RUN --prime "def "` writes more, and `jnets predict
RUN TEXT` says what a text costs, in bits per character, and how it goes on.

On the source of Python 3.11's library, after five passes: 1.80 bits per character in
validation, where counts of characters cost about 4.4 and of pairs 3.4. On the 1.1
million characters of tinyshakespeare, after fifteen, 24 minutes on two cores: 1.469
nats, or 2.12 bits; 1.54 nats after six.
"""

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import optax

from experiments import harness, language_plots
from experiments.running_text import Found, Text, describe, measuring, numbered
from jnets.data.corpus import (
    UNITS,
    counted_costs,
    divided,
    read_corpus,
    standard_library,
    windows,
)
from jnets.errors import InputError
from jnets.models import create
from jnets.models.language_model import CELLS
from jnets.runs import Run
from jnets.systems.language_model import LanguageSpec, sample
from jnets.training import (
    TrainState,
    cosine,
    create_state,
    make_step,
    minibatch,
)
from jnets.training.evaluate import make_read
from jnets.training.fit import Plan, Row
from jnets.training.schedules import check_rate

WARMUP = 100  # updates until the rate is whole, or a tenth of them if that is less
TEMPERATURES = (0.0, 0.5, 0.8, 1.0)  # of the samples
# Of the model, as the configuration has them.
FIELDS = ("layers", "cell", "recurrent_dropout", "variational", "tied")
cross_entropy = optax.softmax_cross_entropy_with_integer_labels


@dataclasses.dataclass(frozen=True)
class Config:
    """A recurrent language model. What is None is as in SETTINGS, by the data."""

    data_dir: Path | None = None
    """A text file, or a folder of them; without it, source of Python's library."""
    files: str = "*"
    """Which files of a folder, as *.py."""
    encoding: str = "utf-8"
    """Of the files."""
    units: str = "characters"
    """characters, or words, which spaces divide."""
    held_out: float = 0.1
    """Share of a text to validate on, its end."""
    least: int = 1
    """Symbols that come fewer times in training are unknown."""
    cell: str = "gru"
    """gru, lstm or rnn."""
    layers: int = 2
    """Recurrent layers."""
    hidden: int | None = None
    """Units of each layer."""
    embedding: int | None = None
    """Numbers that a symbol is read as; with tied, hidden."""
    tied: bool = False
    """Read out by the embeddings."""
    dropout: float | None = None
    """Of what layers and the readout read."""
    variational: bool = False
    """Drop the same units at all steps of a window."""
    recurrent_dropout: float = 0.0
    """Of the same units of the state at all steps of a window."""
    batch_size: int | None = None
    """Rows that the text is read in, side by side."""
    steps: int | None = None
    """Steps of a window, through which errors go back."""
    epochs: int | None = None
    """Passes over the text."""
    learning_rate: float = 0.003
    """Adam's, after a warm-up; it falls to 0 along half a cosine."""
    clip: float = 1.0
    """Gradients of a larger norm are scaled down to it."""
    seed: int = 0
    """Decides initial parameters, dropout and the samples."""


class Setting(NamedTuple):
    """What a configuration leaves open."""

    hidden: int
    embedding: int
    dropout: float
    batch_size: int
    steps: int
    epochs: int


# The library's source within 3 minutes on 4 CPU cores; a text of a million characters
# within 30; words as in the smaller nets of Zaremba et al. 2014.
SETTINGS = {
    "library": Setting(128, 64, 0.0, 32, 64, 5),
    "characters": Setting(384, 64, 0.3, 64, 100, 15),
    "words": Setting(256, 256, 0.4, 32, 35, 8),
}


def run(config: Config, session: harness.Session) -> harness.Result:
    setting = settled(config)
    text = read(config)
    rows, steps = setting.batch_size, setting.steps
    train = windows(text.train, rows, steps)
    fields = {
        "vocabulary": text.spec.vocabulary.size,
        **{name: getattr(setting, name) for name in ("embedding", "hidden", "dropout")},
        **{name: getattr(config, name) for name in FIELDS},
    }
    run = session.start(
        model="language_model", fields=fields, classes=(), spec=text.spec
    )
    print(describe(text), file=sys.stderr)
    model = create("language_model", **fields)
    optimizer = descent(config, len(train.order) * setting.epochs)
    step = make_step(model, cross_entropy, optimizer, minibatch(rows))
    tokens, labels, starts, order = map(jnp.asarray, (*train[:3], train.order))
    first = tokens[:rows], starts[:rows]
    state = create_state(model, first, optimizer, seed=config.seed)
    measure = measuring(make_read(model, cross_entropy), rows, steps)

    def figures(state: TrainState) -> Row:
        found = measure(state.variables, text.valid)
        return {"valid_loss": found.nats, "valid_accuracy": found.accuracy}

    plan = Plan(lambda state, epoch: order, len(order), setting.epochs)
    data = (tokens, starts), labels
    state = session.train(run, state, step, data, plan, figures)
    found = measure(state.variables, text.valid)
    draw(run, text, found)
    write_samples(run, model, state.variables, text.spec, config.seed)
    result = described(found, config.units, "valid")
    if text.test is not None:
        test = measure(state.variables, text.test)
        result |= described(test, config.units, "test")
    seconds = sum(row["seconds"] for row in run.rows())
    return result | {"training_seconds": seconds}


def descent(config: Config, updates: int) -> optax.GradientTransformation:
    """Adam on clipped gradients; second moments over about 100 updates, not 1,000, as
    a run has only a few thousand."""
    rate = cosine(config.learning_rate, updates, warmup=min(WARMUP, updates // 10))
    clip = optax.clip_by_global_norm(config.clip)
    return optax.chain(clip, optax.adam(rate, b2=0.99))


def read(config: Config) -> Text:
    """The text that was asked for, its symbols numbered by the part to train on."""
    corpus = (
        divided(standard_library(), config.held_out, "Python's library")
        if config.data_dir is None
        else read_corpus(
            config.data_dir,
            pattern=config.files,
            held_out=config.held_out,
            encoding=config.encoding,
        )
    )
    return numbered(corpus, config.units, config.least)


def described(found: Found, units: str, part: str) -> harness.Result:
    """Figures for the result line: perplexity of words, bits of characters."""
    figures: harness.Result = {f"{part}_nats": found.nats}
    if units == "words":
        figures[f"{part}_perplexity"] = math.exp(found.nats)
    else:
        figures[f"{part}_bits"] = found.nats / math.log(2)
    return figures | {f"{part}_accuracy": found.accuracy}


def draw(run: Run, text: Text, found: Found) -> None:
    """The learning curve, and a passage with what it cost."""
    vocabulary, units = text.spec
    single, pairs = counted_costs(text.train, text.valid, vocabulary.size)
    unit = units.removesuffix("s")
    counted = {f"counts of {units}": single, "counts of pairs": pairs}
    language_plots.learning(run.rows(), counted, run.plots / "curve.png", unit=unit)
    title = f"Bits that each {unit} of a text not seen before cost"
    path = run.plots / "surprise.png"
    passage = text.passage[1:]  # the first symbol is given
    costs = found.each[: len(passage)]
    language_plots.surprise(passage, costs, path, title=title)


def write_samples(run: Run, model, variables, spec: LanguageSpec, seed: int) -> None:
    """samples.txt, and the last of them to be read at once."""
    length = 500 if spec.units == "characters" else 100
    texts = {
        t: sample(model, variables, spec, length=length, temperature=t, seed=seed)
        for t in TEMPERATURES
    }
    parts = [f"--- temperature {t}\n{text}\n" for t, text in texts.items()]
    run.directory.joinpath("samples.txt").write_text("".join(parts), encoding="utf-8")
    print(parts[2], file=sys.stderr)


def settled(config: Config) -> Setting:
    """What the configuration leaves open, and what it does not, if it can be run."""
    choice(config, "units", UNITS)
    choice(config, "cell", tuple(CELLS))
    name = config.units
    if config.data_dir is None and name == "characters":
        name = "library"
    setting = SETTINGS[name]
    given = {name: getattr(config, name) for name in setting._fields}
    setting = setting._replace(**{k: v for k, v in given.items() if v is not None})
    if config.tied and config.embedding is None:
        setting = setting._replace(embedding=setting.hidden)
    harness.at_least(1, config, "least", "layers")
    counts = ("hidden", "embedding", "batch_size", "steps", "epochs")
    harness.at_least(1, setting, *counts)
    harness.fraction(setting, "dropout")
    harness.fraction(config, "recurrent_dropout", "held_out")
    check_rate(config.learning_rate)
    check_rate(config.clip, "clip")
    if config.tied and setting.embedding != setting.hidden:
        raise InputError(
            f"embedding={setting.embedding} with tied is not usable; expected hidden, "
            f"{setting.hidden}"
        )
    return setting


def choice(config: Config, name: str, options: Sequence[str]) -> None:
    """Raise an InputError unless this field is one of the options."""
    if getattr(config, name) not in options:
        raise InputError(
            f"{name}={getattr(config, name)!r} is unknown; expected one of "
            f"{list(options)}"
        )


if __name__ == "__main__":
    sys.exit(harness.main("language_model", Config(), run))
