"""Python source as sentences of tagged words: what its own tokenizer makes of it.

A statement is a sentence. The tags are those of the tokenizer, and names are told apart
by their neighbours:

    def     scale       (         x     ,         k     =         2       )  ...
    keyword definition  operator  name  operator  name  operator  number

`definition` stands after def or class, `call` before a parenthesis, `attribute` after
a dot, `name` is any other.
"""

import io
import keyword
import token
import tokenize
from collections.abc import Iterable, Iterator, Sequence

from jnets.data import standard_library
from jnets.data.conllu import Tagged
from jnets.errors import InputError

LONGEST = 64  # words of a sentence; a longer statement becomes several

# Modules of plain Python: to learn from, to watch learning by, to test on.
MODULES = {
    "train": (
        *("argparse", "bisect", "calendar", "cmd", "code", "codeop", "configparser"),
        *("contextlib", "copy", "csv", "dataclasses", "difflib", "enum", "filecmp"),
        *("fnmatch", "fractions", "functools", "getopt", "glob", "gzip", "heapq"),
        *("hmac", "json.encoder", "keyword", "linecache", "mailbox", "numbers"),
        *("operator", "optparse", "platform", "pprint", "queue", "reprlib"),
    ),
    "dev": ("sched", "secrets", "selectors", "shelve", "shlex"),
    "test": ("json.decoder", "statistics", "tempfile", "textwrap", "timeit", "trace"),
}
_SAME = {token.NUMBER: "number", token.STRING: "string", token.COMMENT: "comment"}
_NO_WORDS = (token.NL, token.INDENT, token.DEDENT, token.ENDMARKER)

Word = tuple[int, str]  # (type of the token, its text)


def read(text: str) -> list[Tagged]:
    """The statements of Python source; comments outside a statement are of the next.

    Raises InputError for what the tokenizer cannot take apart.
    """
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError) as error:
        raise InputError(f"{text[:40]!r} is no Python: {error.args[0]}") from None
    return [
        Tagged(words[i : i + LONGEST], tags[i : i + LONGEST])
        for words, tags in map(_tagged, _statements(_joined(tokens)))
        for i in range(0, len(words), LONGEST)
    ]


def modules() -> dict[str, list[Tagged]]:
    """The statements of `MODULES`, part by part."""
    return {
        part: [s for name in names for s in read(standard_library.source(name))]
        for part, names in MODULES.items()
    }


def _joined(tokens: Iterable[tokenize.TokenInfo]) -> Iterator[Word]:
    """The tokens; the pieces of an f-string, which newer Pythons tell apart, as one."""
    pieces, depth = [], 0
    for one in tokens:
        kind = token.tok_name[one.type]
        depth += kind.endswith("STRING_START")
        if not depth:
            yield one.type, one.string
            continue
        pieces.append(one.string)
        depth -= kind.endswith("STRING_END")
        if not depth:
            yield token.STRING, "".join(pieces)
            pieces = []


def _statements(words: Iterable[Word]) -> Iterator[list[Word]]:
    statement: list[Word] = []
    for kind, text in words:
        if kind == token.NEWLINE:
            yield statement
            statement = []
        elif kind not in _NO_WORDS:
            statement.append((kind, text))
    if statement:  # comments after the last one
        yield statement


def _tagged(statement: Sequence[Word]) -> Tagged:
    kinds, texts = zip(*statement, strict=True)
    before, after = ("", *texts[:-1]), (*texts[1:], "")
    tags = map(_tag, kinds, texts, before, after)
    return Tagged(texts, tuple(tags))


def _tag(kind: int, text: str, before: str, after: str) -> str:
    if kind != token.NAME:
        return _SAME.get(kind, "operator")
    if keyword.iskeyword(text):
        return "keyword"
    if before in ("def", "class"):
        return "definition"
    if after == "(":
        return "call"
    return "attribute" if before == "." else "name"
