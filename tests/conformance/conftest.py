"""What readers that are not ours are given, and how it is known that they fetch nothing."""

import socket
from dataclasses import replace

import pytest

from serai.catalog.record import CatalogRecord, Use
from serai.charter.agreements import Life, Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.zones.descriptions import UNDETERMINED, About, ColumnText, Text
from serai.zones.policy import Policy
from serai.zones.statements import Column, Offer

GENESIS = Digest("9e" * 32)
VALUES = {
    "purpose": ("health.heart", "health.echo"),
    "code": ("ab" * 32,),
    "min_cohort": 50,
    "min_participants": 3,
    "outputs": ("aggregate", "model"),
    "expires_ms": 1_830_000_000_123,
    "approvals": 2,
    "recipients": ("parties",),
    "residency": ("CH", "PE"),
    "secure_sum": "required",
    "retention_days": 30,
    "output_to": ("CH",),
    "transfer_basis": ("treaty-7",),
    "max_uses": 9,
    "dp": ("record", "3", "1e-5"),
    "min_subjects": 20,
    "max_subjects": 9000,
    "hours": "22-06",
    "embargo_until_ms": 300_000_000_000_000,
    "release_approvals": 2,
    "compute_cap_s": 3600,
}
TERMS = tuple(Term(name=name, value=value, clause=f'§ "{name}" \\ 1') for name, value in VALUES.items())


COLUMNS = (
    Column(name="age", kind="number", unit="a", description="Alter", low="0", high="120.5"),
    Column(name="Größe (cm)/n° 1", kind="number", unit="cm", description=""),
    Column(name="sex", kind="category", unit="", description="Geschlecht", levels=("w", "m", 'x"\\')),
)


@pytest.fixture(scope="session")
def described():
    """A record with every term there is, four languages, levels and bounds, and names that need escapes."""
    about = About(
        language="de",
        keywords=("Herz",),
        texts={
            "en": Text(title="Heart", description="Patients", columns=(ColumnText(name="age", description="age"),)),
            "ar": Text(title="أمراض القلب"),
            "zh-Hant": Text(title="心臟病", keywords=("心臟",)),
        },
        creator="Kardiologie",
        contact="https://bern.example/ask?for=data",
        license="https://licences.example/health-data-1",
    )
    offer = Offer(
        dataset=Digest("da" * 32),
        title='Herz "1988"\nBern',
        description="Patienten",
        rows=303,
        columns=COLUMNS,
        jurisdiction="CH",
        terms=TERMS,
        about=about,
    )
    columns = tuple(ColumnText(name=column.name, description=column.description) for column in COLUMNS)
    own = Text(title=offer.title, description=offer.description, keywords=about.keywords, columns=columns)
    record = CatalogRecord(
        genesis=GENESIS,
        id=Digest("4e" * 32),
        member=MemberId("bern"),
        publisher="Inselspital Bern",
        at=Instant(12, 1_790_000_000_456),
        is_open=True,
        offer=offer,
        about=about,
        texts={"de": own, **about.texts},
        uses=(),
    )
    use = Use(
        agreement=Digest("a1" * 32),
        title="Joint work",
        life=Life.IN_FORCE,
        scope=("train",),
        parties=frozenset({MemberId("bern"), MemberId("lima")}),
        barred=frozenset(),
        grant=Digest("9f" * 32),
        policies=(record.policy, Policy(source="agreement 0", terms=TERMS[:3])),
        waits=(),
    )
    return replace(record, uses=(use,))


@pytest.fixture(scope="session")
def bare(described):
    """An offer of before descriptions could be given."""
    record = described
    offer = replace(record.offer, title="Echo", description="", about=None, terms=(), columns=COLUMNS[:1])
    about, texts = About(language=UNDETERMINED), {UNDETERMINED: Text(title="Echo")}
    return replace(
        record, id=Digest("ec" * 32), member=MemberId("lima"), offer=offer, about=about, texts=texts, uses=()
    )


@pytest.fixture
def offline(monkeypatch):
    def refused(*_arguments, **_named):
        raise AssertionError("something was fetched")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
