"""Models have one byte form, which the safetensors library reads and writes too."""

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import numpy as library

from serai.errors import Malformed
from serai.training.tensors import digest_model, model_bytes, read_model, write_model

MODEL = {
    "layer/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer/bias": np.array([1.5], np.float64),
    "count": np.array(7, np.int64),
    "flags": np.array([1, 2, 3], np.uint8),
    "half": np.array([[0.5]], np.float16),
    "empty": np.zeros((0, 4), np.float32),
    "α": np.array([1, -1], np.int16),
}
DTYPES = [np.uint8, np.int8, np.int16, np.uint16, np.float16, np.int32, np.uint32, np.float32, np.float64, np.int64]

models = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    max_size=5,
)


@given(models)
def test_a_model_comes_back_from_its_bytes_as_it_was(model):
    back = read_model(model_bytes(model))
    assert back.keys() == model.keys()
    for name, tensor in model.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert back[name].tobytes() == tensor.tobytes()


@given(models)
def test_the_digest_of_a_model_is_the_digest_of_its_bytes(model):
    assert digest_model(model) == hashlib.sha256(model_bytes(model)).hexdigest()


def test_the_order_in_which_a_model_was_built_does_not_show():
    assert model_bytes(dict(reversed(MODEL.items()))) == model_bytes(MODEL)


def test_the_library_reads_what_is_written_here():
    loaded = library.load(model_bytes(MODEL))
    assert loaded.keys() == MODEL.keys()
    for name, tensor in MODEL.items():
        np.testing.assert_array_equal(loaded[name], tensor)


def test_the_library_writes_the_same_bytes():
    assert library.save(MODEL) == model_bytes(MODEL)


def test_a_transposed_array_is_written_as_it_reads():
    turned = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    np.testing.assert_array_equal(read_model(model_bytes(turned))["w"], turned["w"])


def test_big_endian_arrays_have_the_same_bytes():
    assert model_bytes({"w": np.array([1.5, -2], ">f4")}) == model_bytes({"w": np.array([1.5, -2], "<f4")})


def test_writing_copies_no_array_and_reading_copies_none():
    tensor = np.zeros(1000, np.float32)
    parts = list(write_model({"w": tensor}))
    assert np.shares_memory(np.frombuffer(parts[1], np.uint8), tensor)
    data = model_bytes({"w": tensor})
    read = read_model(data)["w"]
    assert np.shares_memory(read, np.frombuffer(data, np.uint8))
    assert not read.flags.writeable


def with_header(described, arrays=b""):
    text = described if isinstance(described, bytes) else json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + arrays


def entry(start, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("model-truncated", b""),
        ("model-truncated", b"1234567"),
        ("model-header", struct.pack("<Q", 2**63) + b"{}"),
        ("model-header", struct.pack("<Q", 9) + b"{}      "),
        ("model-header", with_header(b"{")),
        ("model-header", with_header(b"[" * 100_000)),
        ("model-header", with_header([])),
        ("model-header", with_header(b'{"\xff":1}')),
        ("model-tensor", with_header({"w": 1})),
        ("model-tensor", with_header({"w": entry(0, 4, dtype="F7")}, bytes(4))),
        ("model-tensor", with_header({"w": entry(0, 4, shape=(-1,))}, bytes(4))),
        ("model-tensor", with_header({"w": entry(0, 4, shape=(True,))}, bytes(4))),
        ("model-tensor", with_header({"w": entry(0, 4, shape=(2**60, 2**60))}, bytes(4))),
        ("model-tensor", with_header({"w": entry(0, 4, shape=(1,) * 9)}, bytes(4))),
        ("model-tensor", with_header({"w": {**entry(0, 4), "extra": 1}}, bytes(4))),
        ("model-tensor", with_header({"__metadata__": {"format": "pt"}, "w": entry(0, 4)}, bytes(4))),
        ("model-tensor", with_header({"": entry(0, 4)}, bytes(4))),
        ("model-truncated", with_header({"w": entry(0, 4)}, bytes(3))),
        ("model-truncated", with_header({"w": entry(0, 4)}, bytes(5))),
        ("model-truncated", with_header({"w": entry(0, 2**50, shape=(2**47, 2))}, bytes(4))),
        ("model-not-canonical", with_header({"w": entry(4, 8)}, bytes(8))),
        ("model-not-canonical", with_header({"w": entry(0, 4), "v": entry(0, 4)}, bytes(4))),
        ("model-not-canonical", with_header({"v": entry(0, 4), "w": entry(0, 4)}, bytes(8))),
        ("model-not-canonical", with_header(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0, 4]}}', bytes(4))),
        (
            "model-not-canonical",
            with_header(b'{"w":{"shape":[1],"dtype":"F32","data_offsets":[0,4]}}', bytes(4)),
        ),
        (
            "model-not-canonical",
            with_header(b'{"w":{"dtype":"F32","shape":[9],"shape":[1],"data_offsets":[0,4]}}', bytes(4)),
        ),
    ],
)
def test_malformed_model_files_are_refused(code, data):
    with pytest.raises(Malformed) as caught:
        read_model(data)
    assert caught.value.code == code


@given(st.data())
def test_a_bent_model_is_refused_or_has_another_digest(data):
    original = model_bytes({"w": np.arange(3, dtype=np.float32), "b": np.array([2], np.int64)})
    bent = bytearray(original)
    bent[data.draw(st.integers(0, len(bent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        model = read_model(bytes(bent))
    except Malformed:
        return
    assert digest_model(model) == hashlib.sha256(bent).hexdigest() != hashlib.sha256(original).hexdigest()


@pytest.mark.parametrize(
    "tensor", [np.array([1 + 2j]), np.array(["text"]), np.array([None]), np.zeros((1,) * 9, np.float32)]
)
def test_arrays_that_safetensors_cannot_hold_are_refused(tensor):
    with pytest.raises(Malformed):
        model_bytes({"w": tensor})
