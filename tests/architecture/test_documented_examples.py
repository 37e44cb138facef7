"""What the pages show is what the code does."""

import hashlib
import re
import tomllib
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from serai.agent.readers.sources import read_columns
from serai.agent.settings import load_settings
from serai.aggregation.codec import Block, Codec, decode, encode
from serai.aggregation.masking import Keystreams, Release, Roster, leftover_masks
from serai.aggregation.shares import combine, split
from serai.analytics.results import read_result
from serai.charter.decision import Choice
from serai.charter.simulation import simulate
from serai.charter.statements import Ballot
from serai.cli.main import main
from serai.cli.plans import read_items
from serai.cli.proposals import read_proposal
from serai.cli.simulations import read_questions, read_rules
from serai.kernel.canonical import canonical
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import hybrid_key, key_id
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import LogSigner, cosign, log_key, verify_cosignature, witness_key
from serai.ledger.merkle import leaf_hash, node_hash, root_of
from serai.ledger.tiles import encode_bundle
from serai.programme.fairness import INDICES
from serai.programme.stages import LIFE
from serai.recipes.evaluation import evaluating, read_totals
from serai.recipes.registry import build
from serai.testing.federation import Federation
from serai.testing.summing import sum_tables
from serai.training.methods import Context, Data
from serai.training.tables import Table
from serai.zones.terms import VOCABULARY
from serai.zones.uses import FIRST, Left, Use, verify_uses

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language=""):
    return [text for name, text in FENCE.findall((DOCS / page).read_text(encoding="utf-8")) if name == language]


def values(page):
    return dict(re.findall(r"^([\w -]+) = (.+)$", "".join(blocks(page)), re.MULTILINE))


class Ed25519:
    def __init__(self, seed):
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    def sign(self, message):
        return self._private.sign(message)


class X25519:
    def __init__(self, byte):
        self._private = X25519PrivateKey.from_private_bytes(bytes([byte]) * 32)
        self.public = self._private.public_key().public_bytes_raw()

    def exchange(self, public):
        return self._private.exchange(X25519PublicKey.from_public_bytes(public))


def test_the_ballot_in_the_specification_is_signed_as_shown():
    shown = values("spec/statements.md")
    signer = Ed25519(bytes(range(32)))

    entry = sign_body(Ballot(proposal=Digest(hashlib.sha256(b"proposal").hexdigest()), choice=Choice.YES), signer)

    envelope = parse_envelope(entry)
    assert shown["public key"] == signer.public.hex()
    assert shown["key id"] == key_id(signer.public)
    assert shown["proposal"] == hashlib.sha256(b"proposal").hexdigest()
    assert shown["payload"] == envelope.payload.decode()
    assert shown["statement id"] == envelope.id == hashlib.sha256(shown["signed"].encode()).hexdigest()
    assert shown["entry"] == entry.decode()
    assert shown["leaf hash"] == leaf_hash(entry).hex()
    assert len(envelope.payload) == 289
    assert len(entry) == 636


def test_the_receipts_of_use_in_the_specification_are_chained_as_shown():
    shown, signer = values("spec/uses.md"), Ed25519(bytes(range(32)))

    def named(word):
        return Digest(hashlib.sha256(word.encode()).hexdigest())

    counts = {"correct": 8, "n": 10}
    use = Use(
        **{name: named(name) for name in ("run", "offer", "dataset", "agreement", "code")},
        number=0,
        previous=FIRST,
        at_ms=1_790_000_000_000,
        size=40,
        left=Left.COUNTS,
        about=named("model"),
        purpose="research",
        planner=MemberId("lima"),
        recipe="newton",
        rows=10,
        bytes=len(canonical(counts)),
        digest=digest_of(canonical(counts)),
        shown=counts,
        receivers=("bern", "lima"),
        airlock="",
    )
    first = sign_body(use, signer)
    second = replace(use, number=1, previous=digest_of(first), left=Left.UNMASKING, shown={}, bytes=32)
    receipts = [first, sign_body(second, signer)]

    assert shown["payload"] == parse_envelope(first).payload.decode()
    assert [shown["first receipt"], shown["second receipt"]] == [digest_of(receipt) for receipt in receipts]
    assert verify_uses(receipts, {key_id(signer.public): signer.public}.get) == (use, second)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (DOCS / "spec/uses.md").read_text(encoding="utf-8"), re.MULTILINE)
    named_fields = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named_fields == {item.name for item in fields(Use)}


def test_the_hybrid_key_in_the_specification_is_made_as_shown():
    shown = values("spec/keys.md")
    ed25519 = Ed25519(bytes(range(32))).public
    mldsa = MLDSA65PrivateKey.from_seed_bytes(bytes(range(32))).public_key().public_bytes_raw()

    assert len(mldsa) == 1952
    assert shown["ed25519 key"] == ed25519.hex()
    assert shown["ml-dsa key digest"] == hashlib.sha256(mldsa).hexdigest()
    assert shown["hybrid key"] == hybrid_key(ed25519, mldsa).hex()
    assert shown["hybrid key id"] == key_id(hybrid_key(ed25519, mldsa))


def test_the_statistics_in_the_specification_are_summed_as_shown():
    shown, missing = values("spec/statistics.md"), float("nan")
    rows = {"bern": ([2, 4], [0, 1]), "lima": ([3, 3], [1, 0]), "suva": ([5, 2, missing], [0, 1, 1])}
    tables = {
        name: Table(rows=len(weeks), numbers={"weeks": np.array(weeks, float), "dead": np.array(dead, float)})
        for name, (weeks, dead) in rows.items()
    }
    asked = {
        "describe": {"bounds": "weeks=0:4", "bins": "2"},
        "kaplan_meier": {"time": "weeks", "event": "dead", "until": "4", "step": "2"},
    }
    results = {}
    for name, params in asked.items():
        recipe, total = build(name, params, {}), 0.0
        for member, table in tables.items():
            nothing, none = np.zeros((table.rows, 0)), np.zeros(0)
            data = Data(x=nothing, y=none, test_x=nothing, test_y=none, names=(), table=table)
            context = Context(round=0, seed=bytes(32), member=MemberId(member))
            vector = recipe.contribute(recipe.initial(), data, context)
            assert shown[f"{name} {member}"] == " ".join(f"{value:g}" for value in vector)
            total += vector
        assert shown[f"{name} sum"] == " ".join(f"{value:g}" for value in total)
        results[name] = read_result(name, params, sum_tables(name, params, tables))
    (numbers,) = results["describe"].frame("numbers").rows
    assert (shown["mean"], shown["variance"]) == (str(numbers[4]), str(numbers[6]))
    survival = {row[0]: row[4] for row in results["kaplan_meier"].frame("survival").rows}
    assert (shown["survival 2"], shown["survival 4"]) == (str(survival[2]), str(survival[4]))


def test_the_log_in_the_specification_has_the_tree_and_notes_shown():
    shown = values("spec/log.md")
    entries = [b"a", b"bc", b""]
    leaves = [leaf_hash(entry) for entry in entries]
    origin, member = "serai.example/log", MemberId("bern")
    log, witness = Ed25519(b"\1" * 32), Ed25519(b"\2" * 32)

    assert [shown[f"leaf {index}"] for index in range(3)] == [leaf.hex() for leaf in leaves]
    assert shown["node 0-1"] == node_hash(leaves[0], leaves[1]).hex()
    assert shown["root"] == root_of(leaves).hex()
    assert shown["bundle"] == encode_bundle(entries).hex()
    assert shown["log key"] == log_key(origin, log.public).encode()
    assert shown["witness key"] == witness_key(origin, member, witness.public).encode()

    signed = LogSigner(origin, log).sign(3, root_of(leaves))
    body = signed.partition("\n\n")[0] + "\n"
    line = cosign(body, member, witness, 1_750_000_000)
    assert verify_cosignature(body, line, witness_key(origin, member, witness.public)) == 1_750_000_000
    assert signed + line.rstrip("\n") + "\n" in blocks("spec/log.md")


def test_the_sum_in_the_specification_comes_out_as_shown():
    shown = values("spec/sums.md")
    codec = Codec(bits=6, limit=10, blocks=(Block(length=4, step=Fraction(1, 10)),))
    agreements = {MemberId(name): X25519(byte) for byte, name in enumerate(("bern", "lima", "suva"), 1)}
    keys = {name: agreement.public for name, agreement in agreements.items()}
    salt = leaf_hash(b"round")
    vectors = {"bern": [0.3, -0.7, 1.4, 0.0], "lima": [0.1, 0.2, 0.3, 0.4]}
    total, releases = codec.ring.zeros(4), {}

    for name, vector in vectors.items():
        me = MemberId(name)
        roster = Roster(me=me, keys=keys, salt=salt)
        self_seed = hashlib.sha256(name.encode()).digest()
        lanes, _ = encode(codec, np.array(vector))
        Keystreams(codec.ring, roster.masks(agreements[me], self_seed)).add(lanes, 0)
        codec.ring.reduce(lanes)
        codec.ring.add(total, lanes)
        seeds = roster.pair_seeds(agreements[me], [MemberId("suva")])
        releases[me] = Release(self_seed, seeds)
        assert shown[f"upload {name}"] == bytes(codec.ring.pack(lanes)).hex()
        assert shown[f"self {name}"] == self_seed.hex()
        assert shown[f"pair {name} suva"] == seeds[MemberId("suva")].hex()
    codec.ring.reduce(total)
    masked = bytes(codec.ring.pack(total)).hex()
    Keystreams(codec.ring, leftover_masks(releases)).add(total, 0)
    codec.ring.reduce(total)

    assert {shown[f"public {name}"] for name in keys} == {public.hex() for public in keys.values()}
    assert shown["salt"] == salt.hex()
    assert shown["masked sum"] == masked
    assert shown["sum"] == bytes(codec.ring.pack(total)).hex()
    assert decode(codec, total).tolist() == pytest.approx([0.4, -0.5, 1.3, 0.4])


def test_the_zone_file_in_the_pages_is_one_that_a_zone_reads(tmp_path):
    (tmp_path / "zone.toml").write_text(blocks("how-to/set-up-a-zone.md", "toml")[0], encoding="utf-8")

    settings = load_settings(tmp_path)

    assert settings.member == "bern"
    assert settings.datasets["heart"].used_columns == ("age", "sex", "num")
    assert tomllib.loads((tmp_path / "zone.toml").read_text(encoding="utf-8"))["policy"]


def test_the_datasets_in_the_pages_are_read_as_they_are_described(tmp_path):
    page = (DOCS / "how-to" / "describe-a-dataset.md").read_text(encoding="utf-8")
    tables = re.findall(r"^```(?:toml)?\n((?:member|\[datasets).*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "zone.toml").write_text("\n".join(tables), encoding="utf-8")
    datasets = load_settings(tmp_path).datasets

    assert set(datasets) == {"heart", "ward", "xray"}
    heart = replace(datasets["heart"], path=str(tmp_path / "heart.csv"))
    (tmp_path / "heart.csv").write_text("alter,weight,temperature,geschlecht\n61,150,98.6,W\n-9,200,?,male\n")
    file = read_columns(heart, tuple(heart.fields))
    assert file.column("weight").round(2).tolist() == [68.04, 90.72]
    assert round(file.column("temperature")[0], 9) == 37
    assert file.column("sex").tolist() == [0, 1]
    assert np.isnan(file.column("age")[1])


def test_the_policy_in_the_pages_says_of_its_jobs_what_is_shown(tmp_path):
    zone, profile, jobs = blocks("how-to/write-a-policy.md", "toml")
    home = tmp_path / "bern"
    (home / "profiles").mkdir(parents=True)
    (home / "zone.toml").write_text(zone, encoding="utf-8")
    (home / "profiles" / "ch-2026.toml").write_text(profile, encoding="utf-8")
    (tmp_path / "jobs.toml").write_text(jobs, encoding="utf-8")
    (shown,) = blocks("how-to/write-a-policy.md")

    done = CliRunner().invoke(
        main, ["policy", "test", "--home", str(home), "--jobs", str(tmp_path / "jobs.toml")], catch_exceptions=False
    )

    assert done.exit_code == 0, done.output
    assert done.stdout == shown.partition("\n")[2]


def test_every_term_of_the_vocabulary_is_on_the_page_and_no_other():
    page = (DOCS / "how-to" / "write-a-policy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", page, re.MULTILINE)
    named = {name for names in rows for name in re.findall(r"`(\w+)`", names)}

    assert named == set(VOCABULARY)


def test_the_recipe_in_the_pages_learns_what_it_says():
    names = {}
    exec(blocks("how-to/write-a-recipe.md", "python")[0], names)  # our own page
    recipe = names["Recipe"]({}, {})
    codec = recipe.codec(2)
    total = codec.ring.zeros(2)

    for labels in ([1, 0, 0], [1, 1, 0, 0, 1]):
        y = np.array(labels)
        x = np.zeros((len(y), 1))
        data = Data(x=x, y=y, test_x=x, test_y=y, names=("x",))
        context = Context(round=0, seed=bytes(32), member=MemberId("bern"))
        lanes, clipped = encode(codec, recipe.contribute(recipe.initial(), data, context))
        codec.ring.add(total, lanes)
        assert clipped == 0

    assert recipe.combine(recipe.initial(), decode(codec, total), 2)["share"].tolist() == [0.5]


def test_the_program_that_predicts_is_scored():
    names = {}
    exec(blocks("how-to/evaluate-a-model.md", "python")[0], names)  # our own page
    recipe = evaluating(names["Recipe"]({"slope": "2"}, {}), {"model": {}})
    x = np.linspace(-1, 1, 40).reshape(40, 1)
    data = Data(x=x, y=np.zeros(40), test_x=x, test_y=(x[:, 0] > 0.2).astype(float), names=("a",))
    context = Context(round=0, seed=bytes(32), member="bern")
    totals = read_totals(recipe.combine(recipe.initial(), recipe.contribute(recipe.initial(), data, context), 1.0))
    assert (totals["n"], totals["tp"], totals["u2"]) == (40, 16, 2 * 16 * 24)


def test_the_agreement_in_the_tutorial_is_one_that_can_be_proposed(tmp_path):
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    path = tmp_path / "agreement.md"
    path.write_text(re.search(r"^````\n(.*?)^````", page, re.MULTILINE | re.DOTALL)[1], encoding="utf-8")

    text = read_proposal(path).agreement

    assert {(term.name, term.value, term.clause) for term in text.terms} == {
        ("purpose", ("health.heart",), "1"),
        ("min_participants", 3, "2"),
    }
    assert (text.ratifications, [clause.id for clause in text.clauses]) == (3, ["1", "2"])


def test_the_plan_in_the_pages_is_one_that_can_be_put_on_the_table(tmp_path):
    (tmp_path / "plan.toml").write_text(blocks("how-to/keep-a-plan.md", "toml")[0], encoding="utf-8")

    kinds = [item.kind.value for item in read_items(tmp_path / "plan.toml").items]

    assert kinds == ["goal", "target", "action", "task"]


def test_the_indices_in_the_pages_are_those_that_are_computed_with_their_alarms():
    page = (DOCS / "how-to" / "keep-a-plan.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`[a-z_`, ]+`) \| .* \| (.*) \|$", page, re.MULTILINE))

    named = {name: alarm for names, alarm in rows.items() for name in re.findall(r"`(\w+)`", names)}
    assert set(named) == set(INDICES)
    for name, index in INDICES.items():
        assert index.threshold is None or index.threshold == 0 or str(index.threshold) in named[name], name


def test_the_ways_in_the_pages_are_those_of_the_table():
    page = (DOCS / "how-to" / "run-a-joint-project.md").read_text(encoding="utf-8")
    ways = {(way.origin.value, way.to.value): way for way in LIFE}
    shown = re.findall(r"^\| ([a-z-]+) \| ([a-z-]+(?:, [a-z-]+)*) \| (lead|a party) \|", page, re.MULTILINE)

    assert len(shown) == 12
    for origin, targets, who in shown:
        for to in targets.split(", "):
            assert ways[origin, to].who.value == who.removeprefix("a "), (origin, to)


def test_the_votes_and_articles_in_the_pages_can_be_simulated(tmp_path):
    articles, votes = blocks("how-to/try-other-rules.md", "toml")
    (tmp_path / "ours.toml").write_text(articles, encoding="utf-8")
    (tmp_path / "votes.toml").write_text(votes, encoding="utf-8")

    (question,) = read_questions(tmp_path / "votes.toml")
    outcome = simulate(question, read_rules(str(tmp_path / "ours.toml")))

    assert outcome.reason.startswith("it takes yes from at least 2/3 of heads eligible")


def test_the_replay_in_the_tutorial_reads_what_a_center_publishes(tmp_path, monkeypatch, capsys):
    (tmp_path / "serai-demo").mkdir()
    bloc = Federation(tmp_path / "serai-demo", {"bern": [[0.0, 1.0]] * 9, "lima": [[1.0, 0.0]] * 9})
    bloc.found()
    monkeypatch.chdir(tmp_path)

    exec(blocks("tutorial.md", "python")[0], {})  # our own page

    assert capsys.readouterr().out == f"{bloc.state.size} {{}}\n"


def test_the_shares_in_the_specification_are_those_shown_and_any_two_give_the_seed():
    shown = values("spec/sums.md")
    seed = hashlib.sha256(b"bern").digest()
    assert shown["self bern"] == seed.hex()
    dealt = split(seed, 2, 3, (7).to_bytes)
    assert [shown[f"share {x}"] for x in (1, 2, 3)] == [share.hex() for share in dealt]
    for pair in ((1, 2), (1, 3), (3, 2)):
        assert combine({x: dealt[x - 1] for x in pair}) == int.from_bytes(seed)
