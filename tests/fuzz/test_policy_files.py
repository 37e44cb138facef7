"""Bent policy files and terms: each is refused in one sentence that names the file, and nothing else happens."""

import importlib.resources
import random

import pytest

from serai.agent.legal import read_profile
from serai.agent.settings import load_settings
from serai.charter.agreements import Term
from serai.cli.example_jobs import read_jobs
from serai.cli.policies import from_files, judge
from serai.errors import Malformed, Misconfigured
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied
from serai.zones.facts import JobFacts
from serai.zones.policy import Policy, judge_policies
from serai.zones.terms import QUALITY_TERMS, VOCABULARY, judge_form

FOLDER = importlib.resources.files("serai.cli") / "templates" / "profiles"
PROFILES = sorted(place.read_text(encoding="utf-8") for place in FOLDER.iterdir())
ZONE = """\
member = "bern"
jurisdiction = "CH"
retention_days = 30

[[policy.terms]]
name = "min_cohort"
value = 50
clause = "1"

[legal]
members = { lima = "PE" }

[[legal.instruments]]
name = "treaty"
to = ["PE"]
until = 2027-01-01
"""
JOBS = """\
[defaults]
at = 2026-11-25T10:00:00Z
recipients = ["bern"]
dp = ["record", "1", "1e-6"]

[[jobs]]
name = "one"
rows = 3
expect = "deny"
because = ["min_cohort"]
"""
AGREEMENT = """\
+++
topic = "agreement"
title = "Hearts"
[agreement]
scope = ["train"]
+++
## 1 Purpose
Research.

```terms
purpose = ["health.heart"]
min_cohort = 50
```
"""
NASTY = (
    *('"', "'", "[", "]", "{", "}", "=", "\n", "#", "\\", "\x00", "\ufeff", "\u202e", "é", "[[terms]]\n", "name = 3\n"),
    *(
        "-1",
        "1e400",
        "nan",
        "true",
        "99999999999999999999",
        "7" * 5000,
        "[" * 3000,
        "{a=" * 500,
        "2026-13-45",
        "..",
        "'''",
    ),
)
NOBODY = JobFacts(
    action="train",
    purpose=None,
    code=None,
    rows=None,
    outputs=None,
    participants=None,
    minimum=None,
    recipients=None,
    approvals=None,
    jurisdiction=None,
    secure_sum=None,
)


def bend(text, chance):
    """One to four changes at random places: cut, doubled, moved, or something nasty put in."""
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        end = min(end, at + 40)
        text = chance.choice(
            [
                text[:at] + text[end:],
                text[:at] + text[at:end] * 2 + text[end:],
                text[:at] + chance.choice(NASTY) + text[end:],
                text[:at] + chance.choice(NASTY) + text[at:],
                text[:end] + "\n" + text[at:],
            ]
        )
    return text


def read_any(path, read):
    """What a reader makes of a file, or the one sentence in which it refuses."""
    refusal = None
    try:
        return read(path)
    except (Malformed, Misconfigured) as error:
        refusal = error.message
    assert str(path) in refusal
    assert len(refusal) < 2000
    return None


@pytest.mark.parametrize("seed", range(200))
def test_a_bent_file_is_refused_in_one_sentence_or_read_whole(seed, tmp_path):
    chance = random.Random(seed)
    files = [
        ("profile.toml", chance.choice(PROFILES), read_profile),
        ("jobs.toml", JOBS, read_jobs),
        ("agreement.md", AGREEMENT, lambda path: from_files([path])),
        ("zone.toml", ZONE, lambda path: load_settings(path.parent)),
    ]
    name, text, read = files[seed % len(files)]
    path = tmp_path / name
    path.write_text(bend(text, chance), encoding="utf-8", newline="")
    found = read_any(path, read)
    if name == "profile.toml" and found is not None:
        # Whatever came out can be judged, and permits nothing that nobody knows.
        rulebook = from_files([path])
        (outcome,) = judge(rulebook, [read_jobs(jobs(tmp_path))[0]])
        assert outcome.denials


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_whatever_stands_where_a_value_should_is_refused_or_read(nasty, tmp_path):
    for name, text, read in (
        ("profile.toml", PROFILES[0].replace("value = 30", f"value = {nasty}"), read_profile),
        ("jobs.toml", JOBS.replace("rows = 3", f"rows = {nasty}"), read_jobs),
        (
            "agreement.md",
            AGREEMENT.replace("min_cohort = 50", f"min_cohort = {nasty}"),
            lambda path: from_files([path]),
        ),
        ("agreement.md", AGREEMENT.replace('["train"]', nasty), lambda path: from_files([path])),
        ("zone.toml", ZONE.replace("value = 50", f"value = {nasty}"), lambda path: load_settings(path.parent)),
    ):
        assert nasty in text
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        read_any(tmp_path / name, read)


def jobs(folder):
    path = folder / "plain.toml"
    path.write_text('[[jobs]]\nname = "nobody knows anything"\n')
    return path


@pytest.mark.parametrize("data", [b"\xff\xfe", b"title = '\xc3'", b"x" * (2**20 + 1)], ids=["utf-16", "half", "large"])
def test_bytes_that_are_no_such_file_are_refused(data, tmp_path):
    path = tmp_path / "profile.toml"
    path.write_bytes(data)
    for read in (read_profile, read_jobs):
        assert read_any(path, read) is None


def values(chance):
    text = st_text(chance)
    many = tuple(st_text(chance) for _ in range(chance.randint(0, 4)))
    return chance.choice([text, many, chance.randint(-3, 10**18), chance.random() < 0.5, 10**4000])


def st_text(chance):
    known = ["record", "member", "1e-5", "3", "22-06", "required", "parties", "ab" * 32, "CH", "", "0/0", "1/0", "9e99"]
    return chance.choice([*known, "".join(chr(chance.randrange(0x250)) for _ in range(chance.randint(0, 8)))])


@pytest.mark.parametrize("seed", range(200))
def test_a_bent_term_denies_with_its_reason_and_no_term_permits_what_nobody_knows(seed):
    chance = random.Random(seed)
    for name in [
        *(set(VOCABULARY) - {"release_approvals", *QUALITY_TERMS}),
        "min_cohrt",
        "",
        "\x00",
    ]:  # asked of no job, only of releases
        term = Term(name=name, value=values(chance), clause="1")
        bent = judge_form(term, "offer")
        denials = judge_policies([Policy(source="offer", terms=(term,))], NOBODY, Instant(1, 0))
        assert len(denials) == 1
        if isinstance(bent, Denied):
            assert denials == (bent,)
            assert "expected" in bent.reason or "is not known" in bent.reason
            assert len(bent.reason) < 1000


def test_the_files_that_are_bent_here_are_whole(tmp_path):
    for name, text in (("zone.toml", ZONE), ("jobs.toml", JOBS), ("agreement.md", AGREEMENT)):
        (tmp_path / name).write_text(text)
    for text in PROFILES:
        (tmp_path / "profile.toml").write_text(text)
        assert read_profile(tmp_path / "profile.toml").terms
    assert load_settings(tmp_path).instruments
    assert read_jobs(tmp_path / "jobs.toml")
    assert from_files([tmp_path / "agreement.md"]).sources[0].policy.terms
