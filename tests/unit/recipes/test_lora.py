"""Fine-tuning by adapters: two members' texts lower both their losses, and only the model that was agreed on is used."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from serai.aggregation.codec import decode, encode
from serai.errors import Conflict, Malformed, Missing, Refused
from serai.recipes.base_model import open_base_model
from serai.recipes.equipment import Equipment
from serai.recipes.lora import Lora
from serai.recipes.peft_folder import write_peft_folder
from serai.recipes.registry import build, code_digest, source_of
from serai.testing.tiny_model import write_tiny_model
from serai.training.methods import Context, Data
from serai.training.tensors import digest_model, model_bytes, read_model

needs_extra = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None,
    reason="PyTorch and transformers are an extra: pip install 'serai[lora]'",
)
pytestmark = [needs_extra]

SETTINGS = {
    "rank": "4",
    "alpha": "8",
    "targets": "q_proj,v_proj,up_proj,down_proj",
    "context": "16",
    "batch": "8",
    "steps": "12",
    "rounds": "5",
    "lr": "0.02",
    "levels": "7",
}


@pytest.fixture(autouse=True)
def one_thread():
    pytest.importorskip("torch").set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def params_of(folder, **more):
    return {"base": "tiny", "base_digest": open_base_model(folder).digest, **SETTINGS, **more}


def recipe_of(folder, inputs=None, **more):
    return build("lora", params_of(folder, **more), inputs or {}, Equipment(device="cpu", models={"tiny": str(folder)}))


def text_of(words, seed):
    generator = np.random.default_rng(seed)
    return np.frombuffer(b" ".join(generator.choice(words, 1000))[:4000], np.uint8)


def data_of(words, seed):
    text, none, label = text_of(words, seed), np.zeros((3, 0)), np.zeros(3)
    return Data(x=none, y=label, test_x=none, test_y=label, names=(), text=text[:3000], test_text=text[3000:])


DATA = [data_of([b"red", b"green", b"blue"], 1), data_of([b"uno", b"dos", b"tres"], 2)]


def context_of(number, member="a", memory=None):
    seed = bytes([number]) + member.encode()
    return Context(round=number, seed=seed, member=member, memory={} if memory is None else memory)


def train(recipe, rounds=5):
    model, memories, codec = recipe.initial(), [{}, {}], recipe.codec(2)
    for number in range(rounds):
        total = codec.ring.zeros(codec.lanes)
        for member, data in enumerate(DATA):
            vector = recipe.contribute(model, data, context_of(number, str(member), memories[member]))
            codec.ring.add(total, encode(codec, vector)[0])
        model = recipe.combine(model, decode(codec, total, np.float32), 2)
    return model


@pytest.fixture(scope="module")
def trained(folder):
    pytest.importorskip("torch").set_num_threads(1)
    recipe = recipe_of(folder)
    return recipe, train(recipe)


def test_two_members_lower_the_loss_on_both_their_texts(trained):
    recipe, model = trained
    for data in DATA:
        old, new = recipe.evaluate(recipe.initial(), data), recipe.evaluate(model, data)
        assert old["n"] == new["n"] == 3
        assert old["predicted"] == new["predicted"] == 992
        assert new["micronats"] < 0.75 * old["micronats"]


def test_the_shared_model_is_the_adapters_and_nothing_of_the_base(trained, folder):
    recipe, model = trained
    parameters = {name: tensor for name, tensor in model.items() if tensor.dtype == np.float32}
    assert {name.rpartition(".")[2] for name in parameters} == {"lora_A", "lora_B"}
    assert len(parameters) == 2 * 4 * 2
    assert parameters["model.layers.0.mlp.down_proj.lora_A"].shape == (4, 32)
    assert parameters["model.layers.0.mlp.down_proj.lora_B"].shape == (16, 4)
    assert recipe.length < open_base_model(folder).matrices()["model.embed_tokens"][0] * 16


def test_adapters_that_nobody_trained_change_nothing(folder):
    recipe = recipe_of(folder)
    plain, strong = recipe.evaluate(recipe.initial(), DATA[0]), recipe_of(folder, alpha="1000", seed="5")
    assert strong.evaluate(strong.initial(), DATA[0])["micronats"] == plain["micronats"]


def test_a_step_repeated_after_a_crash_gives_the_same_digits(folder):
    recipe = recipe_of(folder)
    model, memory = recipe.initial(), {}
    recipe.contribute(model, DATA[0], context_of(0, memory=memory))
    kept = model_bytes(memory)
    once, again = dict(read_model(kept)), dict(read_model(kept))
    first = recipe.contribute(model, DATA[0], context_of(1, memory=once))
    second = recipe_of(folder).contribute(model, DATA[0], context_of(1, memory=again))
    assert np.array_equal(first, second)
    assert digest_model(once) == digest_model(again)
    assert int(once["inner/step"][0]) == 24, "the optimizer goes on, it does not begin again"


def test_a_tokenizer_in_the_folder_is_used(tmp_path):
    text = bytes(np.concatenate([data.text for data in DATA])).decode()
    folder = write_tiny_model(tmp_path / "with_tokenizer", vocabulary=300, text=text)
    recipe = recipe_of(folder)
    old = recipe.evaluate(recipe.initial(), DATA[0])
    assert 100 < old["predicted"] < 700, "fewer tokens than bytes"
    assert recipe.evaluate(train(recipe, 2), DATA[0])["micronats"] < 0.9 * old["micronats"]


def test_another_folder_than_the_plan_means_is_refused(folder, tmp_path):
    other = write_tiny_model(tmp_path / "other", seed=2)
    params = params_of(folder)
    recipe = build("lora", params, {}, Equipment(models={"tiny": str(other)}))
    for use in (recipe.initial, lambda: recipe.length, lambda: recipe.evaluate({}, DATA[0])):
        with pytest.raises(Refused) as caught:
            use()
        assert caught.value.code == "base-model-digest"


@pytest.mark.parametrize("equipment", [Equipment(), Equipment(models={"large": "/models/large"})])
def test_a_zone_without_the_base_model_says_what_to_list(folder, equipment):
    with pytest.raises(Missing, match=r"'tiny' under \[models\] in zone\.toml"):
        build("lora", params_of(folder), {}, equipment).initial()


@pytest.mark.parametrize("base", ["../tiny", "/etc", "tiny/../../etc", "", ".tiny"])
def test_a_plan_names_a_model_and_never_a_path(folder, base):
    with pytest.raises(Malformed, match="expected base as"):
        Lora({**params_of(folder), "base": base}, {})


@pytest.mark.parametrize(
    "bent",
    [
        {"base_digest": "abc"},
        {"targets": "q_proj;"},
        {"rank": "0"},
        {"alpha": "-1"},
        {"lerning_rate": "1"},
    ],
)
def test_settings_that_do_not_fit_are_refused_though_the_base_model_is_not_here(folder, bent):
    with pytest.raises(Malformed):
        Lora(params_of(folder, **bent), {})


def test_a_target_that_the_model_has_not_is_refused_with_those_it_has(folder):
    with pytest.raises(Malformed, match=r"no layer c_attn; it has down_proj, embed_tokens"):
        recipe_of(folder, targets="c_attn").initial()


def test_a_target_that_is_no_linear_layer_is_refused(folder):
    recipe = recipe_of(folder, targets="embed_tokens")
    with pytest.raises(Refused) as caught:
        recipe.evaluate(recipe.initial(), DATA[0])
    assert caught.value.code == "lora-target"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "no-such-model"}, "no causal language model"),
        ({"model_type": None}, "model_type"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization_config"),
        ({"num_hidden_layers": 3}, "lack"),
        ({"hidden_size": 32}, "another shape|no causal language model"),
    ],
)
def test_a_configuration_that_does_not_fit_its_weights_is_refused(tmp_path, change, message):
    folder = write_tiny_model(tmp_path / "bent")
    config = {**json.loads((folder / "config.json").read_text()), **change}
    (folder / "config.json").write_text(json.dumps(config))
    recipe = recipe_of(folder)
    with pytest.raises(Malformed, match=message):
        recipe.evaluate(recipe.initial(), DATA[0])


def test_code_in_the_folder_is_never_run(tmp_path):
    folder = write_tiny_model(tmp_path / "evil")
    (folder / "modeling_evil.py").write_text("raise SystemExit('this ran')\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    recipe = recipe_of(folder)
    assert recipe.evaluate(recipe.initial(), DATA[0])["predicted"] == 992


def test_it_goes_on_from_adapters_that_an_earlier_run_made(trained, folder):
    _, model = trained
    again = recipe_of(folder, {"start": model}).initial()
    assert np.array_equal(again["model.layers.1.mlp.up_proj.lora_B"], model["model.layers.1.mlp.up_proj.lora_B"])
    with pytest.raises(Malformed, match="adapters to start from"):
        recipe_of(folder, {"start": model}, rank="8").initial()


def test_without_transformers_the_recipe_says_what_to_install(folder, monkeypatch):
    params = params_of(folder)
    monkeypatch.setitem(sys.modules, "transformers", None)  # what the import system makes of a missing package
    with pytest.raises(Missing, match=r"pip install 'serai\[lora\]'"):
        Lora(params, {})


@pytest.mark.parametrize("module", ["base_model", "engines.lora_torch", "engines.tokeniser"])
def test_the_code_digest_covers_what_is_loaded_late(module):
    def changed(name):
        return source_of(name) + b"\n# changed\n" * (name == f"serai.recipes.{module}")

    assert code_digest("lora", changed) != code_digest("lora")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # that the two libraries have for each other
def test_peft_takes_up_the_trained_adapters(trained, folder, tmp_path):
    peft = pytest.importorskip("peft", reason="peft is not installed; only this check of the released form needs it")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    recipe, model = trained
    write_peft_folder(tmp_path / "adapters", params_of(folder), model)
    with pytest.raises(Conflict):
        write_peft_folder(tmp_path / "adapters", params_of(folder), model)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    adapted = peft.PeftModel.from_pretrained(base, tmp_path / "adapters").eval()
    tokens = torch.arange(65, 82)[None]
    with torch.no_grad():
        theirs = adapted(input_ids=tokens).logits
        ours = recipe._engine(model)._logits(tokens)
        plain = recipe._engine(recipe.initial())._logits(tokens)
    assert torch.allclose(theirs, ours, atol=1e-4)
    assert not torch.allclose(theirs, plain, atol=1e-2)
