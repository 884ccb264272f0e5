"""Docstrings of a library that is made for the test, and of the one there is."""

import pytest

from jnets.data import standard_library
from jnets.data.standard_library import PACKAGES, docstrings, source
from jnets.errors import InputError

ONE = '''\
"""The first module of this."""

class A:
    """A class that has methods."""

    async def f(self):
        """A method that can wait."""

    def g(self):
        """Too short."""

    def h(self):
        """A method that can wait."""
        "No docstring, as one is there."
'''
TWO = '"""A class that has methods."""\ndef f():\n    """It is only in here."""\n'


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "one" / "inner").mkdir(parents=True)
    (tmp_path / "one" / "__init__.py").write_text("")
    (tmp_path / "one" / "inner" / "a.py").write_text(ONE)
    (tmp_path / "two.py").write_bytes(
        f"# -*- coding: latin-1 -*-\n{TWO}# \xe4".encode("latin-1")
    )
    monkeypatch.setattr(standard_library, "_root", lambda: tmp_path)


def test_docstrings(library):
    """Each once, long enough, and of one package alone."""
    assert docstrings(("one", "two")) == {
        "one": ["The first module of this.", "A method that can wait."],
        "two": ["It is only in here."],
    }


def test_source(library):
    assert source("one.inner.a") == ONE
    assert source("two").endswith("# ä")
    with pytest.raises(InputError, match="three.py cannot be read.*--data-dir"):
        source("three")
    with pytest.raises(InputError, match="four.py"):
        docstrings(("one", "four"))


def test_this_library():
    found = docstrings()
    assert tuple(found) == PACKAGES
    assert all(80 <= len(texts) <= 400 for texts in found.values())
    assert found == docstrings()
