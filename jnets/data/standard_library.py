"""The source of Python's standard library: text that every machine has.

What is made of it differs a little from one version of Python to the next.
"""

import ast
import sysconfig
import tokenize
from collections.abc import Sequence
from pathlib import Path

from jnets.errors import InputError

# Ten packages of about as many docstrings each.
PACKAGES = (
    "asyncio",
    "decimal",
    "email",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "unittest",
    "urllib",
    "xml",
)
FEWEST_WORDS = 5  # of a docstring: "Return it." tells nothing of where it stands

_DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FILE_OF = {"decimal": "_pydecimal"}  # where the C code has its Python twin


def source(module: str) -> str:
    """The text of a module, "json.decoder" for instance.

    Raises InputError where this Python comes without the source of its library.
    """
    path = _root() / (module.replace(".", "/") + ".py")
    try:
        with tokenize.open(path) as file:  # in the encoding that the file declares
            return file.read()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); this Python has no source of "
            f"its standard library: give --data-dir"
        ) from None


def docstrings(packages: Sequence[str] = PACKAGES) -> dict[str, list[str]]:
    """package -> the docstrings in it, in the order of files and lines.

    Those of modules, classes and functions of at least `FEWEST_WORDS` words, each text
    once; a text that stands in two packages belongs to neither. Raises InputError like
    `source`.
    """
    found = {package: _docstrings_of(package) for package in packages}
    homes: dict[str, int] = {}
    for texts in found.values():
        for text in texts:
            homes[text] = homes.get(text, 0) + 1
    return {
        package: [text for text in texts if homes[text] == 1]
        for package, texts in found.items()
    }


def _docstrings_of(package: str) -> list[str]:
    name = _FILE_OF.get(package, package)
    folder = _root() / name
    modules = sorted(
        path.relative_to(_root()).with_suffix("").as_posix().replace("/", ".")
        for path in folder.rglob("*.py")
    )
    texts: dict[str, None] = {}  # in order, each once
    for module in modules or [name]:
        for node in ast.walk(ast.parse(source(module))):
            if isinstance(node, _DESCRIBED):
                text = ast.get_docstring(node) or ""
                if len(text.split()) >= FEWEST_WORDS:
                    texts[text] = None
    return list(texts)


def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))
