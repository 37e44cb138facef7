"""A base model of some thousand random weights, written on the spot in the form of Hugging Face."""

import json
from pathlib import Path
from typing import Final

import numpy as np

from serai.training.tensors import model_bytes

WIDTH: Final = 16
HIDDEN: Final = 32
LAYERS: Final = 2


def write_tiny_model(folder: Path, vocabulary: int = 256, text: str = "", seed: int = 1) -> Path:
    """Write a Llama of random weights in two shards.

    Args:
        folder: to be made.
        vocabulary: tokens that it knows.
        text: what a byte-pair tokenizer is made from; none is made without.
        seed: of the weights.

    """
    folder.mkdir(parents=True)
    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "vocab_size": vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    generator = np.random.default_rng(seed)
    weights = {
        name: (np.ones(shape) if "norm" in name else generator.normal(0, 0.3, shape)).astype(np.float32)
        for name, shape in _shapes(vocabulary).items()
    }
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(sorted(weights))}
    for shard in sorted(set(places.values())):
        held = {name: weights[name] for name, place in places.items() if place == shard}
        (folder / shard).write_bytes(model_bytes(held))
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8"
    )
    if text:
        _write_tokenizer(folder / "tokenizer.json", vocabulary, text)
    return folder


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        shapes |= {f"{block}self_attn.{part}_proj.weight": (WIDTH, WIDTH) for part in "qkvo"}
        shapes |= {f"{block}mlp.{part}_proj.weight": (HIDDEN, WIDTH) for part in ("gate", "up")}
        shapes[f"{block}mlp.down_proj.weight"] = (WIDTH, HIDDEN)
        shapes |= {f"{block}{part}_layernorm.weight": (WIDTH,) for part in ("input", "post_attention")}
    return shapes


def _write_tokenizer(path: Path, vocabulary: int, text: str) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415  # an extra

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.save(str(path))
