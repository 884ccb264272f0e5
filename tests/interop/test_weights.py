"""Files of weights against files made opcode by opcode, and files that are no such."""

import os
import pickle
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jnets.errors import InputError
from jnets.interop.weights import read, write
from tests.interop import pickles
from tests.interop.pickles import Raw, Stored, archive, contiguous, ordered, stream

X = np.arange(6, dtype="<f4").reshape(2, 3)
ARRAYS = {
    "f4": X,
    "f8": np.array(1 / 3),
    "f2": np.array([[0.5], [-2.0]], "<f2"),
    "i8": np.array([2**62, -1]),
    "i4": np.array([[7]], "<i4"),
    "i2": np.array([-300], "<i2"),
    "i1": np.array([-128, 127], "i1"),
    "u1": np.array([255], "u1"),
    "b1": np.array([True, False]),
    "empty": np.zeros((0, 3), "<f4"),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def save(path, data: bytes):
    path.write_bytes(data)
    return path


def is_refused(path, *words: str):
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    for word in words:
        assert word in message


def is_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def both_forms(entries, storages):
    """The two files with the tensors `entries`; `storages` has (numel, bytes)."""
    raw = {key: data for key, (_, data) in storages.items()}
    old = {k: t._replace(legacy=True) for k, t in entries.items()}
    return [archive(ordered(entries), raw), stream(ordered(old), storages)]


FORMS = pytest.mark.parametrize("form", [0, 1], ids=["archive", "stream"])


@FORMS
def test_every_dtype(form, path):
    entries = {n: contiguous(n, a) for n, a in ARRAYS.items()}
    storages = {n: (a.size, a.tobytes()) for n, a in ARRAYS.items()}
    save(path, both_forms(entries, storages)[form])
    is_same(read(path), ARRAYS)


@FORMS
def test_bfloat16(form, path):
    # 1 is 0x3F80 and -2.5 is 0xC020: the upper halves of their float32.
    entry = Stored("0", "BFloat16Storage", 2, 0, (2,), (1,))
    data = b"\x80\x3f\x20\xc0"
    save(path, both_forms({"w": entry}, {"0": (2, data)})[form])
    is_same(read(path), {"w": np.array([1, -2.5], jnp.bfloat16)})


@FORMS
def test_views_of_one_storage(form, path):
    numbers = np.arange(24, dtype="<f4")
    entries = {
        "whole": Stored("0", "FloatStorage", 24, 0, (2, 3, 4), (12, 4, 1)),
        "transposed": Stored("0", "FloatStorage", 24, 0, (4, 3), (1, 4)),
        "part": Stored("0", "FloatStorage", 24, 5, (2, 2), (12, 3)),
        "expanded": Stored("0", "FloatStorage", 24, 23, (3, 2), (0, 0)),
        "parameter": Stored("0", "FloatStorage", 24, 1, (2,), (1,), parameter=True),
        "old": Stored(
            "0", "FloatStorage", 24, 1, (2,), (1,), function="_rebuild_tensor"
        ),
    }
    save(path, both_forms(entries, {"0": (24, numbers.tobytes())})[form])
    found = read(path)
    cube = numbers.reshape(2, 3, 4)
    expected = {
        "whole": cube,
        "transposed": cube[0].T,
        "part": np.array([[5, 8], [17, 20]], "<f4"),
        "expanded": np.full((3, 2), 23, "<f4"),
        "parameter": np.array([1, 2], "<f4"),
        "old": np.array([1, 2], "<f4"),
    }
    is_same(found, expected)
    assert np.shares_memory(found["whole"], found["transposed"])


def test_a_part_of_a_storage_in_the_old_form(path):
    entry = Stored("0", "LongStorage", 6, 1, (2,), (1,), view=("9", 2, 4), legacy=True)
    numbers = np.arange(6)
    save(path, stream({"w": entry}, {"0": (6, numbers.tobytes())}))
    is_same(read(path), {"w": np.array([3, 4])})


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_scripts_save(wrapper, prefix, path):
    optimizer = contiguous("1", np.ones(5, "<f4"))
    state = {f"{prefix}fc.weight": contiguous("0", X)}
    checkpoint = {
        "epoch": 90,
        "best_acc1": Raw(b"G" + b"\x40\x09\x21\xfb\x54\x44\x2d\x18"),
        "optimizer": {"state": [optimizer], "buffer": optimizer},
        wrapper: ordered(state),
    }
    data = {"0": X.tobytes(), "1": np.ones(5, "<f4").tobytes()}
    save(path, archive(checkpoint, data, root="model_best", order=None))
    is_same(read(path), {"fc.weight": X})


def test_a_prefix_of_some_names_only_is_kept(path):
    state = {"module.a": contiguous("0", X), "b": contiguous("0", X)}
    save(path, archive(state, {"0": X.tobytes()}))
    is_same(read(path), {"module.a": X, "b": X})


def test_names_of_python_2(path):
    names = {Raw(b"U\x01w"): contiguous("0", X)}
    save(path, archive(names, {"0": X.tobytes()}))
    is_same(read(path), {"w": X})


RUNS = {
    "reduce": b"cos\nsystem\n" + pickles.code(("touch hacked",)) + b"R",
    "inst": b"(" + pickles.code("touch hacked") + b"ios\nsystem\n",
    "builtin": b"c__builtin__\neval\n" + pickles.code(("1",)) + b"R",
    "through torch": b"ctorch.serialization\nload\n" + pickles.code(("x",)) + b"R",
    "a module": b"ctorchvision.models.resnet\nResNet\n)\x81",
    "an attribute of a name": b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n",
}


@FORMS
@pytest.mark.parametrize("what", RUNS)
def test_code_is_never_run(what, form, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = {"w": contiguous("0", X), "x": Raw(RUNS[what])}
    make = [
        lambda: archive(value, {"0": X.tobytes()}),
        lambda: stream(value, {"0": (6, X.tobytes())}),
    ][form]
    is_refused(save(path, make()), "state_dict alone")
    assert os.listdir() == [path.name]


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
BROKEN = {
    "a builder given state": TENSOR + pickles.code({"x": 1}) + b"b",
    "a builder given slots": TENSOR + pickles.code((None, {"_build": 1})) + b"b",
    "a storage class given state": b"ctorch\nFloatStorage\n}b",
    "a storage class that is called": b"ctorch\nFloatStorage\n)R",
    "a tensor of a name": TENSOR + pickles.code(("0", 0, (1,), (1,))) + b"R",
    "a reference to no storage": pickles.code(("module", "x", "0", "cpu", 6)) + b"Q",
    "a reference of text": pickles.code("0") + b"Q",
    "a size that is text": Stored("0", "FloatStorage", 6, 0, ("6",), (1,)),  # type: ignore
    "a negative size": Stored("0", "FloatStorage", 6, 0, (-1,), (1,)),
    "a negative stride": Stored("0", "FloatStorage", 6, 5, (2,), (-1,)),
    "a negative offset": Stored("0", "FloatStorage", 6, -1, (2,), (1,)),
    "more sizes than strides": Stored("0", "FloatStorage", 6, 0, (1, 2), (1,)),
    "one past the end": Stored("0", "FloatStorage", 6, 1, (6,), (1,)),
    "a stride past the end": Stored("0", "FloatStorage", 6, 0, (2, 2), (5, 2)),
    "a size beyond any memory": Stored("0", "FloatStorage", 6, 0, (2**60,), (0,)),
    "too many axes": Stored("0", "FloatStorage", 6, 0, (1,) * 65, (1,) * 65),
    "a storage longer than its data": Stored("0", "FloatStorage", 7, 0, (7,), (1,)),
    "a storage shorter than its data": Stored("0", "FloatStorage", 5, 0, (5,), (1,)),
    "a storage that is not there": Stored("1", "FloatStorage", 6, 0, (6,), (1,)),
    "a part past the end": Stored(
        "0", "FloatStorage", 6, 0, (1,), (1,), view=("1", 5, 2), legacy=True
    ),
}


@FORMS
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_description_is_refused(what, form, path):
    value = BROKEN[what]
    value = {"w": Raw(value) if isinstance(value, bytes) else value}
    make = [
        lambda: archive(value, {"0": X.tobytes()}),
        lambda: stream(value, {"0": (6, X.tobytes())}),
    ][form]
    is_refused(save(path, make()))
    # What the file asked to change is as it was.
    save(path, archive({"w": contiguous("0", X)}, {"0": X.tobytes()}))
    is_same(read(path), {"w": X})


def test_a_wrong_index_takes_no_memory(path):
    """LONG_BINPUT 2^32 - 1: an array that long would be 32 GiB."""
    put = Raw(b"N" + b"r\xff\xff\xff\xff")
    save(path, archive({"w": contiguous("0", X), "x": put}, {"0": X.tobytes()}))
    is_same(read(path), {"w": X})


def test_one_storage_as_two_is_refused(path):
    state = {
        "a": Stored("0", "FloatStorage", 6, 0, (6,), (1,)),
        "b": Stored("0", "IntStorage", 6, 0, (6,), (1,)),
    }
    is_refused(save(path, archive(state, {"0": X.tobytes()})), "two ways")


GOOD = {"w": contiguous("0", X)}


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", ()),
        (b"not weights at all", ()),
        (b"\x80\x02}.", ("not a file of torch.save",)),
        (stream(GOOD, {"0": (6, X.tobytes())}, magic=7), ("not a file of torch.save",)),
        (stream(GOOD, {"0": (6, X.tobytes())}, protocol=1), ("unknown version",)),
        (stream(GOOD, {"0": (6, X.tobytes())}, little=False), ("big-endian",)),
        (stream(GOOD, {"0": (2**60, X.tobytes())}), ("another length",)),
        (stream(GOOD, {"1": (6, X.tobytes())}), ()),
        (archive(GOOD, {"0": X.tobytes()}, order="big"), ("big-endian",)),
        (
            archive(GOOD, {"0": X.tobytes()}, compression=zipfile.ZIP_DEFLATED),
            ("compressed",),
        ),
        (archive(GOOD, {"1": X.tobytes()}), ("data/0",)),
        (archive([contiguous("0", X)], {"0": X.tobytes()}), ("list",)),
        (archive({"epoch": 3, "args": {}}, {}), ("no tensors", "epoch")),
        (archive({}, {}), ("nothing",)),
    ],
)
def test_a_file_of_another_kind_is_refused(data, words, path):
    is_refused(save(path, data), *words)


def test_another_archive_is_refused(path):
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("readme.txt", "hello")
    is_refused(path, "not one of torch.save")


@FORMS
def test_a_file_cut_anywhere_is_refused(form, path):
    data = both_forms(GOOD, {"0": (6, X.tobytes())})[form]
    for length in range(len(data)):
        is_refused(save(path, data[:length]))


@FORMS
@settings(deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(form, data, tmp_path_factory):
    whole = both_forms(GOOD, {"0": (6, X.tobytes())})[form]
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    path = save(tmp_path_factory.getbasetemp() / f"damaged{form}.pth", changed)
    try:
        found = read(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())


def test_paths_that_cannot_be_read(tmp_path):
    is_refused(tmp_path / "missing.pth", "No such file")
    is_refused(tmp_path / "missing.safetensors", "No such file")
    is_refused(tmp_path / "weights.h5", ".safetensors, .pth, .pt, .bin")
    folder = tmp_path / "folder.pth"
    folder.mkdir()
    is_refused(folder, "directory")


NAMED = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8),
    st.sampled_from([*ARRAYS.values(), np.array([1, 2.5], jnp.bfloat16), X.T]),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt", "bin"])
@settings(deadline=None)
@given(tensors=NAMED)
def test_what_is_written_is_read(suffix, tensors, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"written.{suffix}"
    write(path, tensors)
    found = read(path)
    assert found.keys() == tensors.keys()
    is_same({k: found[k] for k in tensors}, tensors)


@settings(deadline=None)
@given(array=hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4)))
def test_bits_are_kept(array, tmp_path_factory):
    for suffix in ("pth", "safetensors"):
        path = tmp_path_factory.getbasetemp() / f"bits.{suffix}"
        write(path, {"w": array})
        assert read(path)["w"].tobytes() == array.tobytes()


def test_a_file_of_weights_as_pytorch_names_it(path):
    """The program in data.pkl calls PyTorch's own functions by their names."""
    write(path, {"w": X})
    with zipfile.ZipFile(path) as members:
        assert members.testzip() is None
        assert {m.compress_type for m in members.infolist()} == {zipfile.ZIP_STORED}
        program = members.read("archive/data.pkl")
        assert members.read("archive/data/0") == X.tobytes()
        assert members.read("archive/byteorder") == b"little"
    asked = [arg for op, arg, _ in pickle_operations(program) if op == "GLOBAL"]
    assert sorted(set(asked)) == [
        "collections OrderedDict",
        "torch FloatStorage",
        "torch._utils _rebuild_tensor_v2",
    ]


def pickle_operations(program: bytes):
    import pickletools

    return [(op.name, arg, at) for op, arg, at in pickletools.genops(program)]


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_failed_write_leaves_what_was_there(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    write(path, {"w": X})
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"'words' is <U4; expected float32, "):
        write(path, {"w": X, "words": np.array(["text"])})
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    with pytest.raises(InputError, match="cannot be written: No such file"):
        write(tmp_path / "nowhere" / path.name, {"w": X})
    with pytest.raises(InputError, match=r"\.h5' is of no known kind"):
        write(tmp_path / "weights.h5", {"w": X})


@pytest.mark.parametrize(
    "data",
    [b"", b"short", (2**60).to_bytes(8, "little") + b"{}", b"\2" + b"\0" * 7 + b"[]"],
)
def test_a_damaged_safetensors_file_is_refused(data, tmp_path):
    is_refused(save(tmp_path / "weights.safetensors", data), "safetensors")


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    path = tmp_path / "weights.safetensors"
    for action in (lambda: read(path), lambda: write(path, {"w": X})):
        with pytest.raises(InputError, match=r"pip install 'jnets\[experiments\]'"):
            action()
    assert os.listdir(tmp_path) == []


def test_the_standard_unpickler_would_have_run_it(path, tmp_path, monkeypatch):
    """The programs of `RUNS` do run: what refuses them is the reader."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(b"\x80\x02" + RUNS["reduce"] + b".")
    assert (tmp_path / "hacked").exists()
