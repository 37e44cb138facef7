"""Two members' datasets: one described in four languages and granted twice, the other hardly at all."""

from dataclasses import replace

import pytest

from serai.catalog.record import CatalogRecord, Use
from serai.charter.agreements import Life, Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.zones.descriptions import UNDETERMINED, About, ColumnText, Text
from serai.zones.policy import Policy
from serai.zones.statements import Column, Offer

BERN, LIMA, OSLO = map(MemberId, ("bern", "lima", "oslo"))
GENESIS, HEART, ECHO = Digest("9e" * 32), Digest("4e" * 32), Digest("ec" * 32)
JOINT, OLD = Digest("a1" * 32), Digest("a2" * 32)
TERMS = (
    Term(name="purpose", value=("health.heart",), clause="1"),
    Term(name="min_cohort", value=50, clause="2: no sums over few"),
    Term(name="retention_days", value=30, clause="3"),
    Term(name="expires_ms", value=1_830_000_000_123, clause="4"),
)
COLUMNS = (
    Column(name="age", kind="number", unit="a", description="Alter bei Aufnahme"),
    Column(name="Blutdruck, systolisch", kind="number", unit="mmHg", description="in Ruhe"),
    Column(name="sex", kind="category", unit="", description=""),
)
ABOUT = About(
    language="de",
    keywords=("Herz", "Kardiologie"),
    texts={
        "en": Text(
            title="Heart disease",
            description="Patients of 1988, <b>all</b> of them.",
            keywords=("heart",),
            columns=(ColumnText(name="age", description="age at admission"),),
        ),
        "ar": Text(title="أمراض القلب", description="مرضى عام ١٩٨٨", keywords=("قلب",)),
        "ja": Text(title="心臓病データ", description="千九百八十八年の患者", keywords=("心臓",)),
    },
    creator="Kardiologie Bern",
    contact="mailto:data@bern.example",
    license="CC-BY-4.0",
)
OFFER = Offer(
    dataset=Digest("da" * 32),
    title="Herzkrankheiten in Zürich",
    description="Patienten von 1988.",
    rows=303,
    columns=COLUMNS,
    jurisdiction="CH",
    terms=TERMS,
    about=ABOUT,
)


def use(agreement, life, parties, **changes):
    policies = (
        Policy(source=f"agreement {agreement[:12]}", terms=(Term(name="min_participants", value=3, clause="7"),)),
        Policy(source=f"offer {HEART[:12]}", terms=TERMS),
        Policy(source="grant 0123456789ab", terms=()),
    )
    given = {
        "agreement": agreement,
        "title": "Joint heart work",
        "life": life,
        "scope": ("train", "evaluate"),
        "parties": frozenset(parties),
        "barred": frozenset(),
        "grant": Digest("9f" * 32),
        "policies": policies,
        "waits": (),
    }
    return Use(**{**given, **changes})


@pytest.fixture(scope="session")
def heart():
    own = Text(
        title=OFFER.title,
        description=OFFER.description,
        keywords=ABOUT.keywords,
        columns=tuple(ColumnText(name=column.name, description=column.description) for column in COLUMNS),
    )
    return CatalogRecord(
        genesis=GENESIS,
        id=HEART,
        member=BERN,
        publisher="Inselspital Bern",
        at=Instant(12, 1_790_000_000_456),
        is_open=True,
        offer=OFFER,
        about=ABOUT,
        texts={"de": own, **ABOUT.texts},
        uses=(use(JOINT, Life.IN_FORCE, (BERN, LIMA)), use(OLD, Life.SUSPENDED, (BERN, OSLO))),
    )


@pytest.fixture(scope="session")
def echo(heart):
    """Offered before there was anything to say beside a title."""
    offer = replace(
        OFFER, title="Echo", description="", about=None, terms=(), columns=COLUMNS[:1], jurisdiction="PE", rows=9
    )
    text = Text(title="Echo", columns=(ColumnText(name="age", description=""),))
    return replace(
        heart,
        id=ECHO,
        member=LIMA,
        publisher="Hospital de Lima",
        offer=offer,
        about=About(language=UNDETERMINED),
        texts={UNDETERMINED: text},
        uses=(),
    )
