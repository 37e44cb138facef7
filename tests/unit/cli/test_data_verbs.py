"""Looking at data, matching what members offer, mock rows, and dry runs that say nothing."""

from dataclasses import replace

import pytest

from serai.kernel.keys import Role
from serai.zones.statements import Column, Grant, GrantRevoke, Offer

AGE = Column(name="age", kind="number", unit="a", description="", low="0", high="120")
SEX = Column(name="sex", kind="category", unit="", description="", levels=("female", "male"))
ZONE = """\
member = "bern"
jurisdiction = "CH"
[datasets.heart]
title = "Hearts"
path = "heart.csv"
subject = "who"
fields.age = {kind = "number", unit = "a", low = "0", high = "120"}
fields.sex = {kind = "category", levels = ["female", "male"], codes = {"1" = "female"}}
[datasets.plain]
title = "Without fields"
path = "heart.csv"
missing = "drop"
features = [{name = "old", column = "age", kind = "number"}]
label = {column = "sex", equals = "1"}
"""


@pytest.fixture
def agreed(desk):
    """An agreement to which each member grants one offer with the columns that a test gives."""
    agreement = desk.bloc.agree()

    def offer(**columns):
        for grant in [grant for grant in desk.state.zones.grants.values() if grant.revoked is None]:
            desk.bloc.say(grant.member, GrantRevoke(grant=grant.id), Role.STEWARD)
        for member, told in columns.items():
            body = Offer(
                dataset=desk.bloc.members[member].zone.vault.digest("rows"),
                title=f"{member}'s hearts",
                description="",
                rows=8,
                columns=told,
                jurisdiction="XX",
                terms=(),
            )
            id_ = desk.bloc.say(member, body, Role.STEWARD)
            desk.bloc.say(member, Grant(offer=id_, agreement=agreement, terms=()), Role.STEWARD)
        return agreement

    return offer


def test_a_steward_sees_what_is_missing_and_what_lies_outside(desk, tmp_path):
    (tmp_path / "zone.toml").write_text(ZONE)
    (tmp_path / "heart.csv").write_text("age,sex,who\n61,1,a\n130,male,a\n,1,b\n-3,,\n")
    shown = desk.json("bern", "data", "show", "--home", tmp_path, "heart")
    assert (shown["rows"], shown["subjects"]) == (4, 2)
    age, sex = shown["columns"]
    assert (age["missing"], age["least"], age["greatest"], age["outside"]) == (1, -3, 130, 2)
    assert (sex["missing"], sex["counts"]) == (1, {"female": 2, "male": 1})
    told = desk.told("bern", "data", "show", "--home", tmp_path, "heart")
    assert "4 rows, about 2 subjects" in told
    assert "-3 to 130; 2 outside the public bounds" in told
    assert "female: 2, male: 1" in told
    assert "2 rows" in desk.told("bern", "data", "show", "--home", tmp_path, "plain")


def test_columns_that_fit_are_said_to_fit(desk, agreed):
    agreement = agreed(bern=(AGE, SEX), lima=(SEX, AGE))
    assert "The columns of 2 members fit." in desk.told("bern", "data", "match", "--agreement", agreement)


def test_columns_that_do_not_fit_are_reported_and_the_exit_status_says_so(desk, agreed):
    agreement = agreed(bern=(AGE, SEX), lima=(replace(AGE, unit="months"),), oslo=(AGE, SEX))
    done = desk.run("bern", "data", "match", "--agreement", agreement)
    assert done.exit_code == 1
    assert "age, unit: a at bern, oslo; months at lima" in done.stdout
    assert "sex, missing: offered at bern, oslo; missing at lima" in done.stdout
    assert desk.run("bern", "data", "match", "--agreement", agreement, "--columns", "sex").exit_code == 1
    agreement = agreed(bern=(AGE, SEX), lima=(AGE,))
    assert desk.run("bern", "data", "match", "--agreement", agreement, "--columns", "age").exit_code == 0


def test_mock_rows_of_an_offer_come_with_the_table_that_reads_them(desk, agreed, tmp_path):
    agreed(bern=(AGE, SEX))
    (offer,) = (id_ for id_, offer in desk.state.zones.offers.items() if offer.body.title == "bern's hearts")
    told = desk.told("lima", "data", "mock", offer[:12], "--rows", 20, "--out", tmp_path / "mock.csv")
    (tmp_path / "zone.toml").write_text(f'member = "lima"\njurisdiction = "PE"\n{told}')
    shown = desk.json("lima", "data", "show", "--home", tmp_path, "mock")
    assert shown["rows"] == 20
    assert [column["name"] for column in shown["columns"]] == ["age", "sex"]
    assert shown["columns"][0]["outside"] == 0


def test_a_dry_run_goes_through_every_round_and_says_nothing(desk):
    agreement = desk.bloc.agree()
    before = desk.state.size
    given = (
        "run",
        "--agreement",
        agreement,
        "--recipe",
        "newton",
        "--rounds",
        3,
        "--param",
        "features=1",
        "--dry-run",
        "--purpose",
        "research",
    )
    shown = desk.json("bern", *given)
    assert desk.state.size == before
    assert shown["members"] == ["bern", "lima", "oslo"]
    assert len(shown["round_s"]) == len(shown["upload_bytes"]) == 3
    assert shown["length"] == 5  # two gradients, three distinct entries of the Hessian
    assert all(count["n"] == 2 for count in shown["counts"].values())
    assert "Nothing was said. 3 members with mock rows, 3 rounds of 5 values" in desk.told("bern", *given)
