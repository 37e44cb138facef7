"""A proposal's text and its machine terms come from one file."""

import pytest

from serai.charter.agreements import Clause, Term
from serai.charter.statements import Recovery
from serai.cli.proposals import read_proposal
from serai.errors import Malformed, Missing

MARKDOWN = """\
+++
topic = "agreement"
title = "A joint heart-disease model"
[agreement]
scope = ["train", "evaluate"]
ratifications = 3
expires = 2035-12-31
+++
Four hospitals want one model.

## 1 Purpose
Cardiology, and nothing else.

```terms
purpose = ["health.cardiology"]
```

## 2. Never alone
No sum holds fewer than three members.

```terms
min_participants = 3
secure_sum = "required"
```

## 3 Costs
Each bears its own.
"""

TOML = """\
topic = "agreement"
title = "A joint heart-disease model"
text = "Four hospitals want one model."
[agreement]
scope = ["train", "evaluate"]
ratifications = 3
expires = "2035-12-31"
[[agreement.clauses]]
id = "1"
text = "Purpose. Cardiology, and nothing else."
terms = {purpose = ["health.cardiology"]}
[[agreement.clauses]]
id = "2"
text = "Never alone. No sum holds fewer than three members."
terms = {min_participants = 3, secure_sum = "required"}
[[agreement.clauses]]
id = "3"
text = "Costs. Each bears its own."
"""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_clause_carries_the_terms_that_enforce_it(tmp_path):
    agreement = read_proposal(write(tmp_path, "p.md", MARKDOWN)).agreement
    assert agreement.text == "Four hospitals want one model."
    assert agreement.clauses[1] == Clause(id="2", text="Never alone. No sum holds fewer than three members.")
    assert agreement.terms == (
        Term(name="purpose", value=("health.cardiology",), clause="1"),
        Term(name="min_participants", value=3, clause="2"),
        Term(name="secure_sum", value="required", clause="2"),
    )
    assert agreement.expires_ms == 2_082_672_000_000  # 2035-12-31T00:00Z


def test_markdown_and_toml_say_the_same(tmp_path):
    assert read_proposal(write(tmp_path, "p.md", MARKDOWN)) == read_proposal(write(tmp_path, "p.toml", TOML))


def test_a_question_needs_no_agreement(tmp_path):
    path = write(tmp_path, "q.toml", 'topic = "operations"\ntitle = "Move the meeting"\nconcerned = ["bern"]\n')
    proposal = read_proposal(path)
    assert (proposal.topic, proposal.concerned, proposal.agreement) == ("operations", ("bern",), None)


def test_a_suspension_is_proposed_as_data(tmp_path):
    text = 'topic = "standing"\ntitle = "Suspend"\nstanding = {member = "bern", action = "suspend"}\n'
    assert read_proposal(write(tmp_path, "s.toml", text)).standing.member == "bern"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('topic = "agreement"', "", r"p\.toml: topic is required"),
        ("ratifications = 3", "ratification = 3", r"no field 'ratification'"),
        ('["train", "evaluate"]', '["train", "sell"]', r"'sell'"),
        ("min_participants = 3", "min_participants = 3.5", r"min_participants"),
        ('id = "2"', 'id = "1"', r"appears twice"),
        ('"2035-12-31"', '"soon"', r"soon"),
        ('title = "A', "title = A", r"not valid TOML: .*line 2"),
    ],
)
def test_a_mistake_is_named_with_file_and_place(tmp_path, old, new, message):
    assert old in TOML
    with pytest.raises(Malformed, match=message):
        read_proposal(write(tmp_path, "p.toml", TOML.replace(old, new, 1)))


def test_markdown_without_settings_is_refused(tmp_path):
    with pytest.raises(Malformed, match=r"between two lines of \+\+\+"):
        read_proposal(write(tmp_path, "p.md", "# Just a text\n"))


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(Missing, match=r"no file .*none\.toml"):
        read_proposal(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "Gen\xe8ve"')
    with pytest.raises(Malformed, match="UTF-8"):
        read_proposal(tmp_path / "latin.toml")


def test_new_keys_for_a_member_are_proposed_as_data(tmp_path):
    path = tmp_path / "recovery.toml"
    root = b"r" * 32
    path.write_text(
        f"""topic = "recovery"
title = "New keys for lima"
concerned = ["lima"]
[recovery]
member = "lima"
from_index = 4711
[recovery.keys]
root = ["{root.hex()}"]
"""
    )
    body = read_proposal(path)
    assert body.recovery == Recovery(member="lima", keys={"root": (root,)}, from_index=4711)
    assert body.concerned == ("lima",)
