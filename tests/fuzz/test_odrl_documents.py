"""Bent ODRL documents: each is refused in one sentence, or says nothing else than it did."""

import json
import random

import pytest

from serai.catalog.odrl import OdrlPolicy, parse_policy, write_policy
from serai.charter.agreements import Term
from serai.errors import Malformed
from serai.zones.policy import Policy
from serai.zones.terms import judge_forms

TERMS = (
    Term(name="purpose", value=("health",), clause="1"),
    Term(name="min_cohort", value=50, clause="2"),
    Term(name="dp", value=("record", "3", "1e-5"), clause="3"),
    Term(name="retention_days", value=30, clause="4"),
    Term(name="expires_ms", value=1_830_000_000_000, clause="5"),
)
POLICY = OdrlPolicy(
    uid=f"urn:serai:policy:{'ab' * 32}",
    target=f"urn:serai:offer:{'cd' * 32}",
    assigner=f"urn:serai:member:{'ef' * 32}:bern",
    assignees=(f"urn:serai:member:{'ef' * 32}:lima",),
    agreement=f"urn:serai:agreement:{'01' * 32}",
    actions=("serai:train",),
    policies=(Policy(source="offer", terms=TERMS),),
)
TEXT = write_policy(POLICY)
STRANGE = [None, True, -1, 2**70, "", "x", [], {}, ["x"], {"@id": "urn:x"}, {"@value": "P1D", "@type": "xsd:duration"}]


def holders(value, found):
    if isinstance(value, dict | list):
        found.append(value)
        for item in value.values() if isinstance(value, dict) else value:
            holders(item, found)
    return found


def bend(document, draw):
    holder = draw.choice(holders(document, []))
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if not keys or draw.random() < 0.1:
        if isinstance(holder, dict):
            holder[draw.choice(["@graph", "odrl:xone", "odrl:refinement", "odrl:unit", "x"])] = draw.choice(STRANGE)
        else:
            holder.append(draw.choice(STRANGE))
        return
    key = draw.choice(keys)
    if draw.random() < 0.3:
        del holder[key]
    else:
        holder[key] = draw.choice(STRANGE)


def sound(data):
    """Whether bytes are refused in a sentence, or read as terms that could be enforced and read the same again."""
    try:
        said = parse_policy(data)
    except Malformed as refused:
        return 0 < len(refused.message) < 1000
    assert not any(judge_forms(policy.terms, policy.source) for policy in said.policies)
    return parse_policy(write_policy(said).encode()) == said


@pytest.mark.parametrize("seed", range(300))
def test_a_bent_document_is_refused_or_means_what_it_says(seed):
    draw = random.Random(seed)
    document = json.loads(TEXT)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        bend(document, draw)
    assert sound(json.dumps(document).encode())


@pytest.mark.parametrize("seed", range(200))
def test_bent_bytes_are_refused_or_mean_what_they_say(seed):
    draw = random.Random(seed)
    data = bytearray(TEXT.encode())
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data))
        data[place : place + draw.choice([0, 1, 1, 30])] = draw.randbytes(draw.choice([0, 1, 1, 3]))
    assert sound(bytes(data))


def test_the_document_that_is_bent_is_a_sound_one():
    assert sound(TEXT.encode())
    assert len(parse_policy(TEXT.encode()).policies[0].terms) == len(TERMS)
