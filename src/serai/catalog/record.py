"""The record of an offered dataset: what stands in the log about it, from which every other form is made."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from serai.charter.agreements import Life
from serai.charter.state import in_good_standing, life_of, parties_of
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.state import State
from serai.zones.descriptions import UNDETERMINED, About, ColumnText, Text
from serai.zones.facts import JobFacts
from serai.zones.policy import Policy, agreement_source, grant_source, offer_source
from serai.zones.state import GrantRecord, OfferRecord, find_grant, is_offer_open
from serai.zones.statements import Offer
from serai.zones.terms import judge_term

ENGLISH: Final = "en"
_BY_TIME: Final = ("embargo_until_ms", "expires_ms", "hours")  # terms that log time alone decides
_NOTHING_KNOWN: Final = JobFacts(
    action="",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A grant of the dataset that stands.

    Attributes:
        agreement: the agreement's id.
        title: the agreement's title.
        life: where it stands.
        scope: what it permits.
        parties: the members that it binds, and that may plan runs under it.
        barred: those of them that are suspended or have left.
        grant: the grant's id.
        policies: agreement, offer and grant, all of which must hold.
        waits: why log time does not permit a run now; empty if it does.

    """

    agreement: Digest
    title: str
    life: Life
    scope: tuple[str, ...]
    parties: frozenset[MemberId]
    barred: frozenset[MemberId]
    grant: Digest
    policies: tuple[Policy, ...]
    waits: tuple[str, ...]

    def obstacles(self, member: MemberId) -> Iterator[str]:
        """Why a member could not plan a run over the dataset now; nothing if it could."""
        if self.life is not Life.IN_FORCE:
            yield f"the agreement is {self.life.value.replace('-', ' ')}"
        if member not in self.parties:
            yield f"{member} is not a party of the agreement"
        if member in self.barred:
            yield f"{member} is not in good standing"
        yield from self.waits


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRecord:
    """An offered dataset.

    Attributes:
        genesis: digest of the center's charter; names of members mean something within it.
        id: the offer's id.
        member: whose dataset it is.
        publisher: that member's full name.
        at: when it was offered.
        is_open: whether it was neither taken back nor has expired.
        offer: what was said.
        about: what was said beside; in an undetermined language where nothing was.
        texts: the dataset described in each language, the offer's own included, by BCP 47 tag.
        uses: the grants that stand.

    """

    genesis: Digest
    id: Digest
    member: MemberId
    publisher: str
    at: Instant
    is_open: bool
    offer: Offer
    about: About
    texts: Mapping[str, Text]
    uses: tuple[Use, ...]

    @property
    def policy(self) -> Policy:
        """What holds for every use."""
        return Policy(source=offer_source(self.id), terms=self.offer.terms)

    def language_for(self, wanted: str) -> str:
        """The language to show the record in: as asked, else a near one, else English, else its own.

        Nothing is ever translated here; ``pt-BR`` is near ``pt`` and ``pt-PT``.
        """
        for asked in (wanted, ENGLISH):
            for match in (_same, _near):
                if found := next((tag for tag in self.texts if match(tag, asked)), None):
                    return found
        return self.about.language

    def meaning_of(self, column: str, language: str) -> tuple[str, str]:
        """What a column means, and the language that says so: the given one, else the offer's own."""
        for tag in (language, self.about.language):
            for item in self.texts[tag].columns:
                if item.name == column and item.description:
                    return item.description, tag
        return "", self.about.language


def records_of(state: State) -> tuple[CatalogRecord, ...]:
    """Every dataset that is offered now, by member and then as they were offered."""
    granted: dict[Digest, list[Digest]] = {}
    for offer, agreement in state.zones.latest:
        granted.setdefault(offer, []).append(agreement)
    found = (_record(state, offer, granted.get(offer.id, ())) for offer in state.zones.offers.values())
    return tuple(sorted((record for record in found if record.is_open), key=lambda one: (one.member, one.at.index)))


def record_of(state: State, offer: OfferRecord) -> CatalogRecord:
    """The record of an offer, as the log stands."""
    return _record(state, offer, [agreement for of, agreement in state.zones.latest if of == offer.id])


def _record(state: State, offer: OfferRecord, agreements: Iterable[Digest]) -> CatalogRecord:
    assert state.charter.genesis is not None, "an offer is judged against a charter"
    about = offer.body.about or About(language=UNDETERMINED)
    grants = (find_grant(state.zones, offer.id, agreement, state.now) for agreement in sorted(agreements))
    return CatalogRecord(
        genesis=state.charter.genesis,
        id=offer.id,
        member=offer.member,
        publisher=state.charter.members[offer.member].name,
        at=offer.at,
        is_open=is_offer_open(state.zones, offer.id, state.now),
        offer=offer.body,
        about=about,
        texts={about.language: _own_text(offer.body, about), **about.texts},
        uses=tuple(_use(state, offer, grant) for grant in grants if grant is not None),
    )


def _own_text(offer: Offer, about: About) -> Text:
    columns = tuple(ColumnText(name=column.name, description=column.description) for column in offer.columns)
    return Text(title=offer.title, description=offer.description, keywords=about.keywords, columns=columns)


def _use(state: State, offer: OfferRecord, grant: GrantRecord) -> Use:
    agreement, now = grant.body.agreement, state.now
    text = state.charter.agreements[agreement].text
    parties = parties_of(state.charter, agreement, now)
    policies = (
        Policy(source=agreement_source(agreement), terms=text.terms),
        Policy(source=offer_source(offer.id), terms=offer.body.terms),
        Policy(source=grant_source(grant.id), terms=grant.body.terms),
    )
    return Use(
        agreement=agreement,
        title=text.title,
        life=life_of(state.charter, agreement, now),
        scope=text.scope,
        parties=parties,
        barred=frozenset(member for member in parties if not in_good_standing(state.charter, member, now)),
        grant=grant.id,
        policies=policies,
        waits=tuple(_waits(policies, now)),
    )


def _waits(policies: tuple[Policy, ...], now: Instant) -> Iterator[str]:
    for policy in policies:
        for term in policy.terms:
            verdict = judge_term(term, _NOTHING_KNOWN, now, policy.source) if term.name in _BY_TIME else GRANTED
            if isinstance(verdict, Denied):
                yield f"{verdict.article}: {verdict.reason}"


def _same(tag: str, asked: str) -> bool:
    return tag.lower() == asked.lower()


def _near(tag: str, asked: str) -> bool:
    return tag.lower().partition("-")[0] == asked.lower().partition("-")[0]
