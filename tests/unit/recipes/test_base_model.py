"""A base model's folder: named by one digest, read without pickle, and nothing in it leads out of it."""

import json
import shutil

import numpy as np
import pytest

from serai.errors import Malformed, Missing, Refused
from serai.recipes.base_model import open_base_model
from serai.testing.tiny_model import write_tiny_model
from serai.training.tensors import model_bytes


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "base")


def test_equal_folders_have_one_digest_wherever_they_lie_and_whatever_else_is_there(folder, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("words")
    assert open_base_model(copy).digest == open_base_model(folder).digest


@pytest.mark.parametrize("name", ["config.json", "model-0.safetensors", "model-1.safetensors"])
def test_every_file_that_is_read_is_part_of_the_digest(folder, name):
    before = open_base_model(folder).digest
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert open_base_model(folder).digest != before


def test_a_tokenizer_that_appears_changes_the_digest(folder):
    before = open_base_model(folder).digest
    (folder / "tokenizer.json").write_text("{}")
    assert open_base_model(folder).digest != before


def test_its_matrices_are_known_without_loading_them(folder):
    found = open_base_model(folder).matrices()
    assert found["model.layers.1.mlp.down_proj"] == (16, 32)
    assert found["model.embed_tokens"] == (256, 16)
    assert "model.norm" not in found


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.PT", "consolidated.00.pth"])
def test_weights_that_run_code_when_loaded_are_refused_though_nothing_would_load_them(folder, name):
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(Refused) as caught:
        open_base_model(folder)
    assert caught.value.code == "base-model-pickle"


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.safetensors"
    (folder / "model-1.safetensors").rename(outside)
    (folder / "model-1.safetensors").symlink_to(outside)
    with pytest.raises(Refused, match="is a link"):
        open_base_model(folder)


def test_an_index_that_names_files_elsewhere_is_not_read(folder, tmp_path):
    before = open_base_model(folder)
    (tmp_path / "evil.safetensors").write_bytes(model_bytes({"model.norm.weight": np.zeros(16, np.float32)}))
    index = {"weight_map": {"model.norm.weight": "../evil.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    after = open_base_model(folder)
    assert (after.digest, after.shards) == (before.digest, before.shards)


def test_a_weight_that_two_files_hold_is_refused(folder):
    (folder / "more.safetensors").write_bytes(model_bytes({"model.norm.weight": np.ones(16, np.float32)}))
    with pytest.raises(Malformed, match="two files"):
        open_base_model(folder).matrices()


def test_damaged_weights_are_refused(folder):
    (folder / "model-0.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(Malformed, match="expected safetensors in model-0"):
        open_base_model(folder).matrices()


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000])
def test_a_configuration_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(Malformed):
        open_base_model(folder).config()


def test_a_configuration_that_is_too_large_is_refused(folder):
    (folder / "config.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(Malformed, match="at most 1048576"):
        open_base_model(folder)


def test_what_is_no_base_model_is_missing(folder, tmp_path):
    for name in ("model-0.safetensors", "model-1.safetensors"):
        (folder / name).unlink()
    for place in (folder, tmp_path / "nowhere", folder / "config.json"):
        with pytest.raises(Missing):
            open_base_model(place)
