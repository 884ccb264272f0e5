"""Python source as tagged words, on every Python alike."""

import pytest

from jnets.data import standard_library
from jnets.data.conllu import Tagged
from jnets.data.python_tokens import LONGEST, MODULES, modules, read
from jnets.errors import InputError

SOURCE = '''\
# of the next
class A(b.C):  # at the end
    """Two
    lines."""

    def f(self, x=1.5):
        return not f"a{x!r:>{self.w}}b" + self.g(x)
'''


def test_statements_and_their_tags():
    found = [" ".join(map("/".join, zip(*one, strict=True))) for one in read(SOURCE)]
    assert found == [
        "# of the next/comment class/keyword A/definition (/operator b/name "
        "./operator C/attribute )/operator :/operator # at the end/comment",
        '"""Two\n    lines."""/string',
        "def/keyword f/definition (/operator self/name ,/operator x/name =/operator "
        "1.5/number )/operator :/operator",
        'return/keyword not/keyword f"a{x!r:>{self.w}}b"/string +/operator self/name '
        "./operator g/call (/operator x/name )/operator",
    ]


def test_a_long_statement_becomes_several():
    found = read("f(" + "x, " * LONGEST + ")\n")
    assert [len(one.words) for one in found] == [LONGEST, LONGEST, 3]
    assert found[0].tags[:3] == ("call", "operator", "name")


@pytest.mark.parametrize("text", ["f(", "'''", "x = [1,\n"])
def test_what_is_no_python(text):
    with pytest.raises(InputError, match="is no Python") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_nothing_is_no_statement():
    assert read("") == read("\n\n") == []
    assert read("# only") == [Tagged(("# only",), ("comment",))]


def test_the_modules_are_there_and_in_one_part_each():
    names = [name for part in MODULES.values() for name in part]
    assert len(set(names)) == len(names)
    assert all(standard_library.source(name) for name in names)


def test_parts(monkeypatch):
    monkeypatch.setattr(standard_library, "source", lambda name: f"{name}\n")
    found = modules()
    assert list(found) == ["train", "dev", "test"]
    assert found["dev"][0] == Tagged(("sched",), ("name",))
