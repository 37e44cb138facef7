"""A recipe that misbehaves gets nothing, says nothing, and ends in a refusal that says why; the agent works on."""

import os
import signal
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from serai.agent.answered import read_figures
from serai.agent.measuring import measure
from serai.agent.programs import Programs, Source, is_scored
from serai.agent.sandbox import find_fence
from serai.agent.settings import ForeignCode, Limits, SandboxMode, SandboxSettings
from serai.aggregation.codec import Encoder
from serai.errors import Malformed, Refused
from serai.kernel.ids import MemberId
from serai.recipes.archive import pack
from serai.recipes.registry import build
from serai.training.methods import Context, Data, Overlapping, Sent, TwoPhased
from serai.training.tables import Table
from serai.training.tensors import model_bytes

LIMITS = Limits(memory_mb=1024, call_s=20, scratch_mb=8)
HASTY = replace(LIMITS, call_s=2)
HEAD = """
import ctypes, os, socket, subprocess, sys, threading
from fractions import Fraction
from pathlib import Path
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    name = "evil"
    outputs = ("model", "metrics")
    length = 3

    def __init__(self, params, inputs):
        self.params = params

    def codec(self, members):
        return Codec(bits=32, limit=1000, blocks=(Block(length=3, step=Fraction(1)),))

    def initial(self):
        return {"w": np.zeros(3)}

    def combine(self, model, total, members):
        return {"w": total / members}

    def evaluate(self, model, data):
        return {"n": len(data.test_y), "correct": 1}

    def contribute(self, model, data, context):
"""
FINE = "return np.array([1.0, 2.0, float(context.round)])"


@pytest.fixture(scope="module", autouse=True)
def _sandbox():
    fence = find_fence(Path("/nowhere"), LIMITS)
    if not fence.is_whole:
        pytest.skip(f"no whole sandbox here: {fence.lacking[0]}")


@pytest.fixture
def data():
    x = np.arange(30.0).reshape(10, 3)
    y = np.tile([0.0, 1.0], 5)
    return Data(x=x, y=y, test_x=x[:4], test_y=y[:4], names=("a", "b", "c"))


@pytest.fixture
def programs(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "zone.pem").write_text("secret")
    return Programs(SandboxSettings(limits=LIMITS), tmp_path)


@pytest.fixture
def opened(programs):
    """Opens a recipe with this body of ``contribute``; everything is closed at the end."""
    made = []

    def open_(body, more=""):
        lines = "\n".join(f"        {line}" for line in body.splitlines())
        archive = pack({"recipe.py": f"{HEAD}{lines}\n{more}".encode()})
        made.append(programs.open(Source(recipe="evil", params={}, inputs={}, archive=archive, length=3)))
        return made[-1].recipe

    yield open_
    for program in made:
        program.close()


def context(number=0):
    return Context(round=number, seed=bytes(32), member=MemberId("bern"))


def whole(vector):
    """A vector as an array, wherever it lies."""
    return vector[0 : vector.shape[0]]


def refusal(recipe, data):
    with pytest.raises(Refused) as refused:
        recipe.contribute(recipe.initial(), data, context())
    return refused.value


def is_still_working(opened, data):
    assert whole(opened(FINE).contribute({"w": np.zeros(3)}, data, context(7))).tolist() == [1, 2, 7]


def test_a_recipe_that_behaves_runs_as_it_does_in_process(opened, data):
    recipe = opened(FINE)
    model = recipe.initial()

    assert (recipe.name, recipe.length, recipe.outputs) == ("evil", 3, ("model", "metrics"))
    assert recipe.codec(3).blocks[0].step == Fraction(1)
    assert whole(recipe.contribute(model, data, context(5))).tolist() == [1, 2, 5]
    assert recipe.combine(model, np.array([3.0, 6.0, 9.0]), 3)["w"].tolist() == [1, 2, 3]
    assert recipe.evaluate(model, data) == {"n": 4, "correct": 1}


def test_a_statistic_reads_its_columns_as_it_does_in_process(programs):
    params = {"bounds": "age=0:120", "levels": "sex=f|m", "by": "sex"}
    table = Table(
        rows=5,
        numbers={"age": np.array([30.0, 41.0, np.nan, 130.0, 77.0])},
        categories={"sex": np.array([0, 1, 1, -1, 0], np.int16)},
        levels={"sex": ("f", "m")},
    )
    nothing, none = np.zeros((5, 0)), np.zeros(0)
    rows = Data(x=nothing, y=none, test_x=nothing[:0], test_y=none, names=(), table=table)
    here = build("describe", params, {})
    opened = programs.open(Source(recipe="describe", params=params, inputs={}))
    try:
        vector = whole(opened.recipe.contribute(here.initial(), rows, context()))
        np.testing.assert_array_equal(vector, here.contribute(here.initial(), rows, context()))
        assert opened.recipe.evaluate(here.initial(), rows) == {"n": 5}
    finally:
        opened.close()


def test_what_a_recipe_keeps_comes_back_changed(opened, data):
    recipe = opened(
        "context.memory['seen'] = context.memory.get('seen', np.zeros(1)) + 1\n"
        "return np.full(3, context.memory['seen'][0])"
    )
    first = context()
    recipe.contribute({"w": np.zeros(3)}, data, first)
    second = Context(round=1, seed=bytes(32), member=MemberId("bern"), memory=first.memory)

    assert whole(recipe.contribute({"w": np.zeros(3)}, data, second)).tolist() == [2, 2, 2]
    assert second.memory["seen"].tolist() == [2]


FORBIDDEN = {
    "opens a socket": ("socket.create_connection(('127.0.0.1', 1))", "PermissionError"),
    "reads the home folder": (f"open({str(Path.home() / '.ssh' / 'id_ed25519')!r}).read()", "FileNotFoundError"),
    "writes beside its scratch folder": ("open('/usr/left-behind', 'w')", "OSError"),
    "writes into the root": ("open('/left-behind', 'w')", "OSError"),
    "fills its scratch folder": ("open('/tmp/big', 'wb').write(bytes(2**24))", "No space left"),
    "hides memory in /dev/shm": ("os.makedirs('/dev/shm')", "OSError"),
    "hides memory in a nameless file": ("os.memfd_create('x')", "PermissionError"),
    "forks for ever": ("while True: os.fork()", "PermissionError"),
    "starts a program": ("subprocess.run(['/bin/sh', '-c', 'true'])", "PermissionError"),
    "signals others": ("os.kill(1, 9)", "PermissionError"),
    "raises its own limits": ("import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError"),
    "traces": (
        "if ctypes.CDLL(None, use_errno=True).ptrace(16, 1, 0, 0) < 0: raise OSError(ctypes.get_errno(), 'ptrace')",
        "PermissionError",
    ),
    "makes a namespace": (
        "if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) < 0: raise OSError(ctypes.get_errno(), 'unshare')",
        "PermissionError",
    ),
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "raises": ("1 / 0", r"ZeroDivisionError: division by zero (recipe.py, line"),
}


@pytest.mark.parametrize("deed", FORBIDDEN)
def test_a_recipe_is_refused_that(deed, opened, data):
    body, words = FORBIDDEN[deed]

    refused = refusal(opened(f"{body}\n{FINE}"), data)

    assert refused.code == "recipe-failed"
    assert words in refused.message


def test_a_recipe_sees_neither_the_zone_nor_the_environment_nor_other_processes(opened, programs, data, monkeypatch):
    monkeypatch.setenv("SERAI_SECRET", "secret")
    recipe = opened(
        f"assert not os.path.exists({str(programs.home)!r})\n"
        "assert 'SERAI_SECRET' not in os.environ\n"
        "assert max(int(p) for p in os.listdir('/proc') if p.isdigit()) < 20\n"
        "assert len(os.listdir('/proc/self/fd')) < 12\n" + FINE
    )

    assert whole(recipe.contribute({"w": np.zeros(3)}, data, context())).tolist() == [1, 2, 0]


def test_a_recipe_cannot_change_the_rows_for_the_next_round(opened, data):
    assert "read-only" in refusal(opened(f"data.x[0, 0] = 9\n{FINE}"), data).message
    assert data.x[0, 0] == 0


ANSWERS = {
    "too long": ("return np.zeros(4)", "expected a vector of 3 values"),
    "too short": ("return np.zeros(2)", "expected a vector of 3 values"),
    "much too long": ("return np.zeros(30_000_000)", "recipe failed"),
    "no numbers": ("return np.array(['a', 'b', 'c'])", "expected a row of floats"),
    "a table": ("return np.zeros((3, 1))", "expected a row of floats"),
    "nothing": ("return None", "expected a row of floats"),
    "memory that is too much": ("context.memory['x'] = np.zeros(30_000_000)\n" + FINE, "recipe failed"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_vector_is_refused_that_is(answer, opened, data):
    body, words = ANSWERS[answer]

    assert words in refusal(opened(body), data).message


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_vector_that_holds_no_number_is_refused_as_it_is_quantised(value, opened, data):
    recipe = opened(f"return np.array([1.0, np.{value}, 2.0])")
    vector = recipe.contribute(recipe.initial(), data, context())

    with pytest.raises(Refused, match="NaN or infinity"):
        Encoder(recipe.codec(3), vector).chunk(0)


@pytest.mark.parametrize(
    "vector", ["np.broadcast_to(np.float32(7), 3)", "np.arange(6.0)[::-2] + 0.5", "np.arange(6.0)[1::2]"]
)
def test_a_vector_that_is_strewn_over_memory_comes_as_it_is(vector, opened, data):
    recipe = opened(f"return {vector}")

    assert whole(recipe.contribute(recipe.initial(), data, context())).tolist() == eval(vector).tolist()  # from above


GARBAGE = {
    "words": "b'hello, agent'",
    "an endless frame": "b'\\xff\\xff\\xff\\xff' + bytes(100)",
    "no object": "b'\\x00\\x00\\x00\\x02[]'",
    "deep nesting": "b'\\x00\\x00\\xff\\xff' + b'[' * 65535",
    "sizes of nothing": '(lambda t: len(t).to_bytes(4, \'big\') + t)(b\'{"dtype": "float64", "parts": [24, 99999999999]}\')',
    "sizes that are none": '(lambda t: len(t).to_bytes(4, \'big\') + t)(b\'{"dtype": "float64", "parts": [true, -1]}\')',
    "another type": '(lambda t: len(t).to_bytes(4, \'big\') + t)(b\'{"dtype": "object", "parts": [24, 0]}\')',
    "a number without end": "(lambda t: len(t).to_bytes(4, 'big') + t)(b'{\"parts\": ' + b'9' * 9999 + b'}')",
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_an_answer_is_refused_that_holds(garbage, opened, data):
    body = (
        "for fd in range(3, 1024):\n    try: os.write(fd, " + GARBAGE[garbage] + ")\n    except OSError: pass\n" + FINE
    )

    assert refusal(opened(body), data).code == "sandbox-answer"
    is_still_working(opened, data)


def test_a_recipe_that_prints_disturbs_nobody(opened, data):
    recipe = opened(f"print('x' * 10**6); os.write(2, b'y' * 10**6)\n{FINE}")

    assert whole(recipe.contribute({"w": np.zeros(3)}, data, context())).tolist() == [1, 2, 0]


def test_a_recipe_that_takes_too_much_memory_is_told_the_limit(opened, data):
    refused = refusal(opened(f"x = bytearray(2**31)\n{FINE}"), data)

    assert refused.code == "sandbox-memory"
    assert "1024 MiB" in refused.message
    is_still_working(opened, data)


def test_a_recipe_that_loops_for_ever_is_stopped_and_left_alone_for_a_while(opened, tmp_path, data):
    hasty = Programs(SandboxSettings(limits=HASTY), tmp_path)
    archive = pack({"recipe.py": f"{HEAD}        while True: pass".encode()})
    program = hasty.open(Source(recipe="evil", params={}, inputs={}, archive=archive, length=3))
    recipe = program.recipe
    refused = refusal(recipe, data)
    started = time.monotonic()

    assert refused.code == "sandbox-time"
    assert "longer than 2 s" in refused.message
    with pytest.raises(Refused, match="longer than 2 s"):
        recipe.contribute({"w": np.zeros(3)}, data, context())
    assert time.monotonic() - started < 1
    program.close()
    is_still_working(opened, data)


@pytest.mark.parametrize("end", ["os._exit(3)", "ctypes.string_at(0)", "os.abort()"])
def test_the_death_of_a_worker_is_a_refusal(end, opened, data):
    refused = refusal(opened(end), data)

    assert refused.code == "sandbox-death"
    assert "died when asked to contribute" in refused.message
    is_still_working(opened, data)


@pytest.mark.parametrize(
    "counts",
    [
        "{'n': 4, 'correct': 5}",
        "{'n': 3, 'correct': 1}",
        "{'n': 4, 'age_of_first_patient': 4}",
        "{'n': 4, 'correct': -1}",
        "{'correct': 1}",
        "{'n': 10**4000}",
    ],
)
def test_counts_of_a_foreign_recipe_have_no_room_for_anything_else(counts, opened, data):
    recipe = opened(FINE, f"    def evaluate(self, model, data):\n        return {counts}\n")

    with pytest.raises(Refused):
        recipe.evaluate(recipe.initial(), data)


@pytest.mark.parametrize("source", ["class Recipe(: pass", "import nothing_like_it", "1 / 0"])
def test_a_recipe_that_does_not_start_is_refused(source, programs):
    program = programs.open(Source(recipe="x", params={}, inputs={}, archive=pack({"recipe.py": source.encode()})))

    with pytest.raises(Refused, match="failed to open"):
        program.recipe.initial()
    program.close()


def test_a_recipe_that_comes_with_serai_gives_the_same_in_the_worker(programs, data):
    program = programs.open(Source(recipe="newton", params={"features": "3"}, inputs={}))
    model = program.recipe.initial()
    here = build("newton", {"features": "3"}, {})

    there = whole(program.recipe.contribute(model, data, context()))
    assert there.tobytes() == here.contribute(model, data, context()).tobytes()
    assert program.recipe.evaluate(model, data) == here.evaluate(model, data)
    assert is_scored(program.recipe)
    assert program.recipe.scores(model, data.x).tobytes() == here.scores(model, data.x).tobytes()
    assert measure(program.recipe, model, data, 1) == measure(here, model, data, 1)
    program.close()


SCORED = "    def scores(self, model, x):\n        return {}\n"


def test_what_a_foreign_recipe_scores_is_counted_by_the_agent_and_not_by_the_recipe(opened, data):
    recipe = opened(FINE, SCORED.format("1 / (1 + x[:, 0])"))
    rows = Data(x=data.x, y=data.y, test_x=np.tile(data.x, (3, 1)), test_y=np.tile(data.y, 3), names=data.names)
    evaluate = "    def evaluate(self, model, data):\n        return {'n': len(data.test_y)}\n"
    assert not is_scored(opened(FINE))
    assert recipe.scores({}, data.x).tolist() == (1 / (1 + data.x[:, 0])).tolist()
    counts = measure(opened(FINE, SCORED.format("1 / (1 + x[:, 0])") + evaluate), {"w": np.zeros(3)}, rows, 1)
    # Scores fall with the first feature, and three copies of the rows make nine of each pair.
    yes, no = data.x[data.y > 0, 0], data.x[data.y < 1, 0]
    assert counts["u2"] == 2 * 9 * sum(one < other for one in yes for other in no)


@pytest.mark.parametrize(
    "scores", ["x[:, 0] + 1", "x[1:, 0] * 0", "x * 0", "x[:, 0] * np.nan", "'yes'", "[0.5] * 3", "-x[:, 0]"]
)
def test_scores_that_are_no_probabilities_are_refused(scores, opened, data):
    recipe = opened(FINE, SCORED.format(scores))

    with pytest.raises(Refused):
        recipe.scores(recipe.initial(), data.x)


def test_a_worker_that_is_killed_is_started_again_once_the_rest_is_over(tmp_path, data):
    times = [0.0]
    programs = Programs(SandboxSettings(limits=LIMITS), tmp_path, clock=lambda: times[0])
    program = programs.open(Source(recipe="probe", params={"size": "20"}, inputs={}))
    model = program.recipe.initial()
    before = whole(program.recipe.contribute(model, data, context()))
    os.kill(program.recipe._worker.pid, signal.SIGKILL)

    def ask_until_refused():  # the fence is killed at once, what is behind it by the kernel a moment later
        for _ in range(1000):
            program.recipe.contribute(model, data, context())
            time.sleep(0.01)

    with pytest.raises(Refused, match="SIGKILL"):
        ask_until_refused()
    with pytest.raises(Refused, match="SIGKILL"):
        program.recipe.contribute(model, data, context())
    times[0] = 6.0
    assert (whole(program.recipe.contribute(model, data, context())) == before).all()
    program.close()


def test_a_small_call_takes_a_few_milliseconds_and_a_large_vector_no_longer_than_its_copies(tmp_path, data):
    programs = Programs(SandboxSettings(limits=LIMITS), tmp_path)
    small = programs.open(Source(recipe="newton", params={"features": "3"}, inputs={}))
    large = programs.open(Source(recipe="probe", params={"size": "5000000"}, inputs={}))
    took = {}
    for name, program in (("small", small), ("large", large)):
        model = program.recipe.initial()
        program.recipe.contribute(model, data, context())
        spans = []
        for _ in range(5):
            started = time.perf_counter()
            program.recipe.contribute(model, data, context())
            spans.append(time.perf_counter() - started)
        took[name] = min(spans)
        program.close()

    assert took["small"] < 0.01
    assert took["large"] < 0.5


def test_plain_limits_still_keep_out_sockets_processes_and_endless_memory(tmp_path, data, monkeypatch):
    monkeypatch.setattr("serai.agent.sandbox.shutil.which", lambda _name: None)
    find_fence.cache_clear()
    try:
        programs = Programs(SandboxSettings(foreign=ForeignCode.LIMITED, limits=LIMITS), tmp_path)
        assert not programs.fence.is_whole
        for body, words in (
            ("socket.socket()", "PermissionError"),
            ("os.fork()", "PermissionError"),
            ("np.ones(10**9)", "more memory"),
        ):
            archive = pack({"recipe.py": f"{HEAD}        {body}\n        {FINE}".encode()})
            program = programs.open(Source(recipe="evil", params={}, inputs={}, archive=archive, length=3))
            assert words in refusal(program.recipe, data).message
            program.close()
        assert list((tmp_path / "scratch").iterdir()) == []
        (tmp_path / "scratch" / "worker-4194305-abc").mkdir()  # of no process: ids end below 2^22
        programs.sweep()
        assert list((tmp_path / "scratch").iterdir()) == []
    finally:
        find_fence.cache_clear()


def test_settings_decide_what_runs_where(tmp_path, monkeypatch):
    foreign = Source(recipe="evil", params={}, inputs={}, archive=pack({"recipe.py": HEAD.encode()}))
    never = Programs(SandboxSettings(foreign=ForeignCode.NEVER, limits=LIMITS), tmp_path)
    off = Programs(SandboxSettings(mode=SandboxMode.OFF, limits=LIMITS), tmp_path)
    for programs, words in ((never, "foreign_code"), (off, "off in zone.toml")):
        with pytest.raises(Refused, match=words):
            programs.open(foreign)
    assert off.open(Source(recipe="probe", params={"size": "20"}, inputs={})).recipe.__class__.__name__ == "Probe"

    monkeypatch.setattr("serai.agent.sandbox.shutil.which", lambda _name: None)
    find_fence.cache_clear()
    try:
        required = Programs(SandboxSettings(mode=SandboxMode.REQUIRED, limits=LIMITS), tmp_path)
        with pytest.raises(Refused, match="needs a whole sandbox, which this zone has not"):
            required.open(Source(recipe="probe", params={"size": "20"}, inputs={}))
        with pytest.raises(Refused, match="needs a whole sandbox, which this zone has not"):
            Programs(SandboxSettings(limits=LIMITS), tmp_path).open(foreign)
    finally:
        find_fence.cache_clear()


TWICE = """
    ahead = 4
    last_length = 2

    def last_codec(self, members):
        return Codec(bits=40, limit=1000, blocks=(Block(length=2, step=Fraction(1)),))

    def train_ahead(self, model, data, context):
        context.memory["ahead"] = np.array([context.done, context.steps, model["w"].size])
"""


def test_a_recipe_is_told_where_the_run_is_and_what_became_of_its_vector(opened, data):
    recipe = opened(
        "at = [context.done, context.rounds, context.steps, context.share, context.sent.summed, context.sent.missed]\n"
        "context.memory['at'] = np.array(at, float)\n"
        "return np.zeros(3)"
    )
    told = replace(context(4), done=3, rounds=9, steps=7, share=0.5, sent=Sent(summed=False, missed=2))
    recipe.contribute({"w": np.zeros(3)}, data, told)
    assert told.memory["at"].tolist() == [3, 9, 7, 0.5, 0, 2]


def test_a_foreign_recipe_may_train_ahead_and_have_a_last_round_of_its_own(opened, data):
    recipe = opened(
        "context.memory['sent'] = context.memory['ahead']\nreturn np.zeros(2 if context.is_last else 3)", TWICE
    )
    assert isinstance(recipe, Overlapping)
    assert isinstance(recipe, TwoPhased)
    assert (recipe.ahead, recipe.last_length, recipe.last_codec(3).bits) == (4, 2, 40)

    now = replace(context(1), done=1, rounds=2, steps=5)
    recipe.train_ahead({"w": np.zeros(3)}, data, now)
    assert now.memory["ahead"].tolist() == [1, 5, 3]
    assert recipe.contribute({"w": np.zeros(3)}, data, now).shape == (2,), "the last round's length"
    assert now.memory["sent"].tolist() == [1, 5, 3]


def test_a_recipe_that_knows_neither_has_neutral_answers(opened):
    recipe = opened(FINE)
    assert (recipe.ahead, recipe.last_length, recipe.last_codec(3)) == (0, 3, None)


@pytest.mark.parametrize("told", ["ahead = -1", "ahead = 10**7", "ahead = True", "last_length = 0"])
def test_a_recipe_that_says_nonsense_of_itself_is_refused(opened, told):
    name = told.partition(" ")[0]
    more = TWICE.replace(f"{name} = {4 if name == 'ahead' else 2}", told)
    assert told in more
    with pytest.raises(Refused) as refused:
        _ = opened(FINE, more).ahead
    assert refused.value.code == "sandbox-answer"


def test_a_foreign_recipe_shows_noread_figures(opened, data):
    now = context()
    opened("context.figures['steps'] = 7\nreturn np.zeros(3)").contribute({"w": np.zeros(3)}, data, now)
    assert now.figures == {}


@pytest.mark.parametrize("bad", [None, [], {"row": 7}, {"steps": 0.5}, {"steps": True}, {"steps": 2**53}])
def test_figures_are_whole_numbers_by_known_names(bad):
    assert read_figures({"steps": 7, "rho_permille": -1000}) == {"steps": 7, "rho_permille": -1000}
    with pytest.raises(Malformed):
        read_figures(bad)


def test_a_recipe_of_ours_trains_ahead_behind_the_fence_as_it_does_in_process(programs, data):
    params = {"features": "3", "hidden": "4", "rounds": "2", "steps": "6", "ahead": "4", "last_levels": "7"}
    program, plain = programs.open(Source(recipe="mlp", params=params, inputs={})), build("mlp", params, {})
    try:
        results = []
        for recipe in (program.recipe, plain):
            model, first = recipe.initial(), replace(context(), rounds=2)
            vector = whole(recipe.contribute(model, data, first))
            ahead = replace(context(1), done=1, rounds=2, memory=first.memory, figures={})
            recipe.train_ahead(model, data, ahead)
            model = recipe.combine(model, vector, 1)
            last = replace(ahead, sent=Sent(summed=True))
            results.append(
                (whole(recipe.contribute(model, data, last)).tobytes(), model_bytes(last.memory), last.figures)
            )
            assert last.figures["steps"] == 6
        assert results[0] == results[1]
        assert (program.recipe.ahead, program.recipe.last_length) == (4, 21)
        assert program.recipe.last_codec(3) == plain.last_codec(3)
    finally:
        program.close()
