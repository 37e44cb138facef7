"""A recipe that does not come with serai: it runs where a term or the steward names its digest, and nowhere else."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serai.agent.programs import Programs, Source
from serai.agent.sandbox import find_fence
from serai.agent.settings import Limits, SandboxSettings
from serai.aggregation.state import final_model
from serai.charter.agreements import Term
from serai.errors import Refused
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.recipes.archive import pack
from serai.state import Jobs
from serai.testing.federation import IN_PROCESS, Federation, Terms
from serai.training.tensors import digest_model, read_model
from serai.zones.statements import Approval

SANDBOX = SandboxSettings(limits=Limits(memory_mb=1024, call_s=20, scratch_mb=8))
SOURCE = b"""
from fractions import Fraction
import numpy as np
from serai.aggregation.codec import Block, Codec

class Recipe:
    '''The share of rows whose label is 1.'''

    name, outputs, length = "prevalence", ("model", "metrics"), 2

    def __init__(self, params, inputs):
        pass

    def codec(self, members):
        return Codec(bits=48, limit=10**9, blocks=(Block(length=2, step=Fraction(1)),))

    def initial(self):
        return {"share": np.zeros(1)}

    def contribute(self, model, data, context):
        return np.array([len(data.y), np.count_nonzero(data.y)], float)

    def combine(self, model, total, members):
        return {"share": total[1:] / total[:1]}

    def evaluate(self, model, data):
        return {"n": len(data.test_y), "correct": int(np.count_nonzero(data.test_y == (model["share"] > 0.5)))}
"""
MEMORY = Path("/dev/shm")  # syncs of the disk prove nothing here
ARCHIVE = pack({"recipe.py": SOURCE})
CODE = digest_of(ARCHIVE)


@pytest.fixture
def make():
    fence = find_fence(Path("/nowhere"), SANDBOX.limits)
    if not fence.is_whole:
        pytest.skip(f"no whole sandbox here: {fence.lacking[0]}")
    generator = np.random.default_rng(3)
    tables = {
        name: [[*map(float, generator.normal(size=3)), float(generator.random() < 0.3)] for _ in range(40)]
        for name in ("bern", "lima", "oslo")
    }
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        blocs = []

        def make_(sandbox=SANDBOX):
            blocs.append(Federation(Path(home), tables, sandbox=sandbox))
            blocs[-1].found()
            return blocs[-1]

        yield make_
        for bloc in blocs:
            for member in bloc.members.values():
                for active in member.runner._active.values():
                    active.prepared.close()


def plan_of(bloc, agreement, archive=ARCHIVE, **changes):
    programs = Programs(SANDBOX, bloc.folder)
    program = programs.open(Source(recipe="", params={}, inputs={}, archive=archive))
    recipe = program.recipe
    like = bloc.plan(agreement, "probe", 1, {"size": "20"})
    plan = replace(
        like,
        recipe=recipe.name,
        code=digest_of(archive),
        params={},
        codec=recipe.codec(len(like.offers)),
        length=recipe.length,
        initial=digest_model(recipe.initial()),
        outputs=recipe.outputs,
        **changes,
    )
    program.close()
    bloc.center_parts.service.put_blob(plan.code, archive)
    return plan


def final(bloc, run):
    return final_model(bloc.state.rounds, Jobs(bloc.state, bloc.state.now)[run])


def naming(code=CODE):
    return Terms(agreement=(Term(name="code", value=(code,), clause="1"),))


def test_a_recipe_that_the_agreement_names_runs_in_every_zone(make):
    bloc = make()
    agreement = bloc.agree(naming())
    run = bloc.say("bern", plan_of(bloc, agreement))
    bloc.settle()

    blobs = bloc.center_parts.blobs
    digest = final(bloc, run)
    share = read_model(blobs.read_range(digest, 0, blobs.size(digest)))["share"]
    rows = np.concatenate([member.zone.vault.load("rows").y for member in bloc.members.values()])
    assert share.tolist() == [np.count_nonzero(rows) / len(rows)]
    assert set(bloc.state.analytics.by_model[run, digest]) == set(bloc.members)


def test_without_a_term_or_an_approval_every_zone_declines_and_says_what_is_missing(make):
    bloc = make()
    run = bloc.say("bern", plan_of(bloc, bloc.agree()))
    bloc.settle()

    declines = bloc.state.runs.plans[run].declines
    assert set(declines) == set(bloc.members)
    for name, reasons in declines.items():
        assert reasons[0].article == "guard 11"
        assert reasons[0].text == (
            f"the program {CODE[:12]} does not come with serai: no code term of agreement, offer or grant names it, "
            f"and {name}'s steward has not approved it"
        )
        assert not bloc.members[name].zone.blobs.has(CODE)


def test_a_term_that_names_another_program_permits_nothing(make):
    bloc = make()
    run = bloc.say("bern", plan_of(bloc, bloc.agree(naming(digest_of(b"another")))))
    bloc.settle()

    for reasons in bloc.state.runs.plans[run].declines.values():
        assert any(reason.article.endswith("clause 1") for reason in reasons)
    assert set(bloc.state.runs.plans[run].declines) == set(bloc.members)


def test_a_steward_permits_a_program_for_the_own_zone_alone_and_a_delegate_does_not(make):
    bloc = make()
    agreement = bloc.agree()
    for name in ("bern", "lima"):
        bloc.say(name, Approval(subject=CODE, comment="read"), Role.DELEGATE)
        bloc.say(name, Approval(subject=CODE, comment="read"), Role.STEWARD)
    with pytest.raises(Refused, match="approved"):
        bloc.say("bern", Approval(subject=CODE, comment="again"), Role.STEWARD)
    bloc.say("oslo", Approval(subject=CODE, comment="looks good"), Role.DELEGATE)
    bloc.settle()
    run = bloc.say("bern", plan_of(bloc, agreement))
    bloc.settle()

    assert set(bloc.state.runs.plans[run].declines) == {"oslo"}
    assert set(bloc.state.runs.plans[run].keys) == {"bern", "lima"}


def test_a_zone_whose_sandbox_is_off_declines_and_cites_its_own_policy(make):
    bloc = make(IN_PROCESS)
    run = bloc.say("bern", plan_of(bloc, bloc.agree(naming())))
    bloc.settle()

    for reasons in bloc.state.runs.plans[run].declines.values():
        assert reasons[0].article == "zone policy"
        assert "off in zone.toml" in reasons[0].text


def test_a_plan_whose_first_model_is_not_what_the_recipe_makes_is_declined(make):
    bloc = make()
    plan = replace(plan_of(bloc, bloc.agree(naming())), initial=digest_of(b"another model"))
    run = bloc.say("bern", plan)
    bloc.settle()

    for reasons in bloc.state.runs.plans[run].declines.values():
        assert "the model agreed on is" in reasons[0].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "PermissionError"),
        ("import os; os._exit(1)", "died"),
        ("return np.array([1.0, np.nan])", "NaN or infinity"),
    ],
)
def test_a_recipe_that_misbehaves_holds_its_own_run_and_no_other(deed, words, make, caplog):
    bloc = make()
    bad = pack(
        {
            "recipe.py": SOURCE.replace(
                b"return np.array([len(data.y)", f"{deed}\n        return np.array([len(data.y)".encode()
            )
        }
    )
    agreement = bloc.agree(naming(digest_of(bad)))
    # The agreement names one program; the run beside it is under another agreement.
    run = bloc.say("bern", plan_of(bloc, agreement, bad))
    bloc.settle()
    assert final(bloc, run) is None
    assert any(words in record.getMessage() for record in caplog.records)

    other = bloc.train(bloc.agree(), "newton", 1, {"features": "3"})
    bloc.settle()
    assert final(bloc, other) is not None
