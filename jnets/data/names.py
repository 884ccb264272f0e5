"""Surnames by language, letter by letter: the data of the lecture's RNN classifier.

A folder holds one UTF-8 file per class, `<Class>.txt`, with one name a line. Source
of the alphabet, the encoding and the sampling: S. Robertson, "Classifying names with
a character-level RNN" (PyTorch tutorial, 2017), the program the lecture shows.
"""

import os
import string
import unicodedata
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from jnets.data.dataset import Dataset, permutation, random_bits
from jnets.errors import InputError

ALPHABET = string.ascii_letters + " .,;'"  # 57 symbols; a token is an index into it

_TOKEN = {letter: token for token, letter in enumerate(ALPHABET)}


def normalise(name: str) -> str:
    """`name` in the alphabet: accents off, everything else outside it dropped.

    Unicode NFD, then without category Mn (combining marks): 'Ślusàrski' is
    'Slusarski'. Letters that NFD does not take apart ('ł', Cyrillic) are dropped.
    """
    return "".join(
        letter for letter in unicodedata.normalize("NFD", name) if letter in _TOKEN
    )


def encode(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens int32 [N, T] and lengths int32 [N] of `names` after `normalise`.

    T is the longest length; shorter rows are filled with token 0, which is also 'a',
    so the lengths are part of the encoding. Raises InputError for a name without a
    letter, and for no names at all.
    """
    if not names:
        raise InputError("names: none given, expected at least one")
    texts = [normalise(name) for name in names]
    for name, text in zip(names, texts, strict=True):
        if not _has_letter(text):
            raise InputError(f"name: {name!r} has no letter a-z or A-Z")
    lengths = np.array([len(text) for text in texts], np.int32)
    tokens = np.zeros((len(texts), lengths.max()), np.int32)
    letters = "".join(texts)
    filled = np.arange(tokens.shape[1]) < lengths[:, None]
    tokens[filled] = [_TOKEN[letter] for letter in letters]
    return tokens, lengths


def encode_one(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [1, T] and lengths [1] of one name as a person types it: spaces around
    it do not count. Raises InputError for a name without a letter."""
    return encode((name.strip(),))


def decode(tokens: np.ndarray, lengths: np.ndarray) -> tuple[str, ...]:
    """The normalised names behind tokens [N, T] and lengths [N]."""
    return tuple(
        "".join(ALPHABET[token] for token in row[:length])
        for row, length in zip(tokens, lengths, strict=True)
    )


def read_folder(directory: str | os.PathLike[str]) -> Dataset:
    """The names in `directory`: inputs (tokens [N, T], lengths [N]), classes by name.

    Every `<Class>.txt` directly in it is a class; hidden files and other names are
    passed over, as are blank lines and spaces at the ends of a line. Raises
    InputError for a missing directory, fewer than two classes, a file without names
    or that is not UTF-8, and a name without a letter of the alphabet.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(
            f"data directory {directory}: no such directory; expected one with a "
            "<Class>.txt file for every class"
        )
    paths = sorted(
        path for path in directory.glob("*.txt") if not path.name.startswith(".")
    )
    if len(paths) < 2:
        raise InputError(
            f"data directory {directory}: {len(paths)} .txt files; expected one "
            "<Class>.txt for each of at least two classes"
        )
    by_class = [_read_names(path) for path in paths]
    labels = np.repeat(np.arange(len(paths), dtype=np.int32), list(map(len, by_class)))
    names = [name for group in by_class for name in group]
    return Dataset(encode(names), labels, tuple(path.stem for path in paths))


def shipped() -> Dataset:
    """The surnames that come with jnets, read as by `read_folder`."""
    with as_file(files("jnets.data").joinpath("surnames")) as directory:
        return read_folder(directory)


def unique_split(
    data: Dataset, *, held_out: float = 0.2, seed: int = 0
) -> tuple[Dataset, Dataset]:
    """Training and test set without duplicates and without a name in both.

    Repeated (class, name) pairs count once. A name string goes to one side, with
    all its classes: the data repeat names within and across languages, and a split
    by lines would test on what was trained. Of the n names of each class,
    round(held_out n) are held out, at least one and at most n - 1; where classes
    share names a large class may miss that number, a small one hardly ever does.
    Depends on the set of pairs and on `seed` only. Raises InputError for a held_out
    not between 0 and 1, and for a class that cannot be on both sides.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held_out: {held_out}, expected between 0 and 1")
    tokens, lengths = data.inputs
    keys = np.column_stack([tokens, lengths])
    pairs = np.column_stack([data.labels, keys])
    data = data.take(np.unique(pairs, axis=0, return_index=True)[1])
    keys = np.column_stack(data.inputs)
    names = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    in_test = _choose_names(names, data, held_out, seed)[names]
    for label, name in enumerate(data.classes):
        sides = np.unique(in_test[data.labels == label])
        if len(sides) < 2:
            raise InputError(
                f"class {name}: its {np.sum(data.labels == label)} distinct names "
                "cannot be on both sides of a split; add names"
            )
    return data.take(np.flatnonzero(~in_test)), data.take(np.flatnonzero(in_test))


def _choose_names(
    names: np.ndarray, data: Dataset, held_out: float, seed: int
) -> np.ndarray:
    """bool per distinct name: held out. `names` is the name's number per example.

    Small classes first: the names they share with a large one are then decided, and
    the large one makes up its number from the rest.
    """
    chosen = np.zeros(names.max() + 1, bool)
    decided = np.zeros_like(chosen)
    sizes = np.bincount(data.labels, minlength=len(data.classes))
    for label in np.argsort(sizes, kind="stable"):
        members = names[data.labels == label]
        target = min(max(1, round(held_out * len(members))), len(members) - 1)
        free = members[~decided[members]]
        missing = max(0, target - int(chosen[members].sum()))
        order = permutation(len(free), seed, int(label))
        chosen[free[order[:missing]]] = True
        decided[members] = True
    return chosen


def balanced_draws(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """`count` examples drawn with replacement: uniform class, then uniform in it.

    Returns int32 [count] indices into `labels` (int [N]). This is the lecture's
    sampling. Draw i depends on the labels, `seed` and i alone, so a run that is
    continued, or made longer, sees the same examples. Classes without an example are
    left out. Raises InputError for empty labels or a negative count or seed.
    """
    if len(labels) == 0 or count < 0:
        raise InputError(
            f"draws: {count} from {len(labels)} examples, expected 0 or more from "
            "at least 1"
        )
    order = np.argsort(labels, kind="stable")
    sizes = np.unique(labels, return_counts=True)[1]
    # 53 bits make a double in [0, 1); its product with n < 2^31 is below n.
    uniform = (random_bits(2 * count, seed) >> np.uint64(11)) * 2.0**-53
    which, within = uniform.reshape(count, 2).T
    group = np.floor(which * len(sizes)).astype(np.int64)
    first = np.cumsum(sizes) - sizes
    place = first[group] + np.floor(within * sizes[group]).astype(np.int64)
    return order[place].astype(np.int32)


def _has_letter(text: str) -> bool:
    return any(letter in string.ascii_letters for letter in text)


def _read_names(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not valid UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    # Not splitlines, which also breaks at characters that may stand in a name.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not _has_letter(normalise(line)):
            raise InputError(
                f"{path}, line {number}: {line.strip()!r} has no letter a-z or A-Z"
            )
        names.append(line.strip())
    if not names:
        raise InputError(f"{path}: no names; expected one a line")
    return names
