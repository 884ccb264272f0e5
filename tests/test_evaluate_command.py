"""`jnets evaluate`, and `jnets predict` on pictures: a small net, files and runs."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jnets import cli
from jnets.commands import evaluate as command
from jnets.data.crops import Evaluation
from jnets.data.picture_spec import PictureSpec
from jnets.evaluation import Score
from jnets.interop import torchvision, weights
from tests.fixtures import tiny

ROOT = Path(__file__).parents[1]
NAMES = tuple("abcdefg")
SPEC = PictureSpec(12, 18, "cifar")


@pytest.fixture(scope="module", autouse=True)
def tiny_model():
    with tiny.registered():
        yield


@pytest.fixture(scope="module")
def trained():
    return tiny.variables(4)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    weights.write(path, torchvision.to_state_dict("tiny", trained))
    return path


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    return tiny.write_run(tmp_path_factory.mktemp("runs") / "run", trained, NAMES, SPEC)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six pictures of each of the seven classes, of many sizes."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(1)
    for i in range(42):
        blots = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        size = tuple(map(int, rng.integers(9, 50, 2)))
        path = folder / NAMES[i % 7] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        blots.resize(size, Image.Resampling.BICUBIC).save(path)
    return folder


@pytest.fixture
def call(capsys):
    """call(*arguments): (standard output, standard error) of a success."""

    def run(*arguments):
        status = cli.main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert status == 0, err
        assert max(map(len, out.splitlines())) <= 80
        return out, err

    return run


@pytest.fixture
def refused(capsys):
    """refused(*arguments): the one line that says why it cannot."""

    def run(*arguments):
        status = cli.main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        return err.removeprefix("error: ").removesuffix("\n")

    return run


def cells(table):
    """The row of a table under its titles; what is broken over lines is joined."""
    lines = [re.split("[│┃]", line)[1:-1] for line in table.splitlines()]
    title, *rows = [[cell.strip() for cell in line] for line in lines if line]
    found = [" ".join(filter(None, parts)) for parts in zip(*rows, strict=True)]
    return dict(zip(title, found, strict=True))


def evaluation(call, file, data, *flags):
    out, err = call("evaluate", "tiny", "--weights", file, "--data", data, *flags)
    assert err == ""
    return cells(out)


def by_hand(trained, data, shorter, *colours):
    """Top-1 and top-5 of the centre crops as the table has them; with several ways of
    seeing colours, of their mean."""
    paths = sorted(data.glob("*/*.png"))
    crops = np.concatenate([tiny.centre(path, shorter) for path in paths])
    p = np.mean([tiny.softmax(tiny.logits(trained, crops, c)) for c in colours], axis=0)
    labels = np.array([NAMES.index(path.parent.name) for path in paths])
    ranks = np.sum(p > p[np.arange(len(p)), labels][:, None], axis=1)
    return [f"{100 * np.mean(ranks < k):.2f} %" for k in (1, 5)]


def test_a_file_and_its_run_are_one_model(call, trained, file, run, data):
    """The run knows size, scale and colours; of a file they are to be told."""
    expected = by_hand(trained, data, 18, "cifar")
    found = evaluation(call, run, data)
    assert [found["top-1"], found["top-5"]] == expected
    assert (found["scales"], found["pictures"], found["left out"]) == ("18", "42", "0")
    told = ("--shorter", 18, "--pixels", "cifar")
    assert evaluation(call, file, data, *told) == found
    usual = by_hand(trained, data, 14, "torchvision")
    assert usual != expected
    found = evaluation(call, file, data)
    assert [found["top-1"], found["top-5"]] == usual and found["scales"] == "14"
    flags = ("--size", 12, "--pixels", "torchvision")
    assert evaluation(call, run, data, *flags) == found


def test_a_file_and_a_run_together(call, trained, file, run, data):
    """Size, scale and names of classes are the run's, the file's colours its own."""
    flags = ("--weights", file, run, "--data", data)
    out, _ = call("evaluate", "tiny", *flags)
    assert out.splitlines()[0].strip() == "2 x tiny"
    found = cells("\n".join(out.splitlines()[1:]))
    expected = by_hand(trained, data, 18, "torchvision", "cifar")
    assert [found["top-1"], found["top-5"]] == expected and found["scales"] == "18"


def test_classes_of_a_run_by_name(call, trained, run, data, tmp_path):
    """Three of its seven, which are other numbers here."""
    for name in "bdg":
        (tmp_path / name).symlink_to(data / name)
    found = evaluation(call, run, tmp_path)
    assert found["pictures"] == "18"
    expected = by_hand(trained, tmp_path, 18, "cifar")
    assert [found["top-1"], found["top-5"]] == expected


@pytest.fixture
def asked(monkeypatch):
    """asked: what `evaluate` is asked for; the answer is made up."""
    calls, failures = [], {f"{i}.jpg": "empty" for i in range(1000)}

    def answer(ensemble, examples, evaluations, **options):
        calls.append((evaluations, options["batch"]))
        return Score(12345, 1.0, 0.5, failures)

    monkeypatch.setattr(command, "evaluate", answer)
    return calls


@pytest.mark.parametrize(
    "flags, evaluations, batch",
    [
        ((), [Evaluation("centre", 12, 14)], 64),
        (("--size", 16), [Evaluation("centre", 16, 18)], 64),
        (("--crops", "10"), [Evaluation("ten", 12, 14)], 6),
        (("--crops", "10", "--batch", 7), [Evaluation("ten", 12, 14)], 7),
        (("--crops", "144"), [Evaluation("googlenet", 12, 14)], 1),
        (("--crops", "dense", "--shorter", 24), [Evaluation("whole", 12, 24)], 64),
        (
            ("--shorter", 12, 14, 16),
            [Evaluation("centre", 12, shorter) for shorter in (12, 14, 16)],
            64,
        ),
    ],
)
def test_flags(call, asked, file, data, flags, evaluations, batch):
    call("evaluate", "tiny", "--weights", file, "--data", data, *flags)
    assert asked == [(evaluations, batch)]


TABLE = """\
7 x a_tiny_net_of_a_long_name
┏━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━┓
┃ crops ┃ scales              ┃ pictures ┃    top-1 ┃   top-5 ┃ left out ┃
┡━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━┩
│ 1     │ 224 256 384 480 640 │   12,345 │ 100.00 % │ 50.00 % │    1,000 │
└───────┴─────────────────────┴──────────┴──────────┴─────────┴──────────┘
"""


def test_the_table_at_80_columns(call, asked, file, data):
    """The longest of everything."""
    name = "a_tiny_net_of_a_long_name"
    with tiny.registered(name):
        out, _ = call(
            *("evaluate", name, "--weights", *[file] * 7, "--data", data),
            *("--shorter", 224, 256, 384, 480, 640),
        )
    assert [line.rstrip() for line in out.splitlines()] == TABLE.splitlines()


def test_pictures_of_every_kind(call, run, data, tmp_path):
    """Grey, CMYK, 16 bits, one pixel, a palette: all are seen."""
    image = Image.open(data / "a" / "00.png")
    for name in "ab":
        (tmp_path / name).mkdir()
    image.convert("L").save(tmp_path / "a" / "grey.png")
    image.convert("CMYK").save(tmp_path / "a" / "cmyk.jpg")
    Image.new("RGB", (1, 1), (9, 99, 199)).save(tmp_path / "a" / "pixel.png")
    grey = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(grey).save(tmp_path / "b" / "deep.png")
    image.quantize(8).save(tmp_path / "b" / "palette.gif.PNG", format="PNG")
    image.resize((300, 3)).save(tmp_path / "b" / "long.bmp")
    for crops in ("10", "dense"):
        found = evaluation(call, run, tmp_path, "--crops", crops)
        assert (found["pictures"], found["left out"]) == ("6", "0")


@pytest.fixture
def spoilt(data, tmp_path):
    """The folder with two files in it that are no pictures."""
    folder = tmp_path / "spoilt"
    shutil.copytree(data, folder)
    (folder / "c" / "empty.jpg").write_bytes(b"")
    whole = (folder / "f" / "05.png").read_bytes()
    (folder / "f" / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder


def test_pictures_left_out_are_named(call, run, data, spoilt):
    out, err = call("evaluate", "tiny", "--weights", run, "--data", spoilt)
    first, second = err.splitlines()
    assert first.startswith(f"left out: {spoilt / 'c' / 'empty.jpg'} (cannot identify")
    assert second.startswith(f"left out: {spoilt / 'f' / 'cut.png'} (")
    expected = evaluation(call, run, data)
    assert cells(out) == expected | {"left out": "2"}


def test_strict(refused, run, spoilt):
    flags = ("evaluate", "tiny", "--weights", run, "--data", spoilt, "--strict")
    for batch in (1, 64):
        message = refused(*flags, "--batch", batch)
        assert re.match(rf"{spoilt}/(c/empty.jpg|f/cut.png): not a readable", message)


def test_predict_a_picture(call, trained, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, names = np.random.default_rng(2), ("tall.png", "wide.png")
    for name, shape in zip(names, ((25, 18, 3), (18, 30, 3)), strict=True):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(name)
    out, err = call("predict", run, *names, "--top", 7)
    assert err == ""
    crops = [tiny.centre(name, 18)[0] for name in names]
    expected = tiny.softmax(tiny.logits(trained, crops, "cifar"))
    found = re.findall(r"([a-g])[ │\n]+(0\.\d{3})", out)
    for row, p in zip((found[:7], found[7:]), expected, strict=True):
        assert [NAMES[i] for i in np.argsort(-p)] == [name for name, _ in row]
        shown = [float(value) for _, value in row]
        np.testing.assert_allclose(shown, np.sort(p)[::-1], atol=5.1e-4)


def test_predict_shows_long_paths_whole(call, run, data):
    path = data / ("b" * 70 + ".png")
    shutil.copy(data / "b" / "01.png", path)
    out, _ = call("predict", run, path)
    lines = [line.split("│")[1].strip() for line in out.splitlines() if "│" in line]
    assert "".join(lines) == str(path)
    path.unlink()


def test_interrupted(capsys, monkeypatch, run, data):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "evaluate", stop)
    arguments = ["evaluate", "tiny", "--weights", str(run), "--data", str(data)]
    assert cli.main(arguments) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_bar_on_a_terminal(capsys, monkeypatch, run, data):
    monkeypatch.setenv("FORCE_COLOR", "1")
    arguments = ["evaluate", "tiny", "--weights", str(run), "--data", str(data)]
    assert cli.main(arguments) == 0
    assert "42/42" in capsys.readouterr().err
