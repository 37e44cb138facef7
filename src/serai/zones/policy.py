"""The effective policy of a job: agreement and offer and grant and zone policy and legal profile, all of which must hold.

Policies combine by intersection only. Judging a collection of policies gives
the same denials in whatever order they come and however often one is repeated,
and one more policy never removes a denial. Whoever judges many jobs compiles
the policies once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from serai.charter.agreements import Term
from serai.kernel.ids import Digest
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied
from serai.zones.facts import JobFacts
from serai.zones.terms import VOCABULARY, Check, article_of, judge_form

ZONE_POLICY: Final = "zone policy"
LEGAL_PROFILE: Final = "legal profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Terms that stand in one place.

    Attributes:
        source: where they stand, as a refusal cites it; see the functions below.
        terms: all of them must hold; none at all is an explicit "no further limits".

    """

    source: str
    terms: tuple[Term, ...]


def agreement_source(agreement: Digest) -> str:
    """How refusals cite an agreement."""
    return f"agreement {agreement[:12]}"


def offer_source(offer: Digest) -> str:
    """How refusals cite a dataset's offer."""
    return f"offer {offer[:12]}"


def grant_source(grant: Digest) -> str:
    """How refusals cite a grant."""
    return f"grant {grant[:12]}"


def merge_policies(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """The union of all terms by source, each term once, in sorted order.

    Two collections that say the same have equal merges, so their digests can be compared.
    """
    by_source: dict[str, dict[tuple[str, str, str, str], Term]] = {}
    for policy in policies:
        by_source.setdefault(policy.source, {}).update({_term_key(term): term for term in policy.terms})
    return tuple(
        Policy(source=source, terms=tuple(term for _, term in sorted(terms.items())))
        for source, terms in sorted(by_source.items())
    )


def select_terms(policies: Iterable[Policy], wanted: Callable[[str], bool]) -> tuple[Policy, ...]:
    """The same policies with only the terms whose names are wanted."""
    return tuple(
        Policy(source=policy.source, terms=tuple(term for term in policy.terms if wanted(term.name)))
        for policy in policies
    )


def names_code(policies: Iterable[Policy], code: Digest) -> bool:
    """Whether any policy names a program in a ``code`` term, as one that it permits."""
    return any(
        term.name == "code" and isinstance(term.value, tuple) and code in term.value
        for policy in policies
        for term in policy.terms
    )


@dataclass(frozen=True, slots=True)
class CompiledPolicies:
    """Policies merged, and their terms read, once for many jobs.

    Attributes:
        rules: of each term its article, its name, its check, and what that is given;
            of one that no job satisfies no check, and the reason.

    """

    rules: tuple[tuple[str, str, Check | None, Any], ...]

    def judge(self, facts: JobFacts, at: Instant) -> tuple[Denied, ...]:
        """Every reason why the policies together do not permit a job; empty when they do."""
        denials: list[Denied] = []
        for article, name, check, value in self.rules:
            if check is None:
                denials.append(Denied(article, value))
            elif (reason := check(value, facts, at)) is not None:
                denials.append(Denied(article, f"{name}: {reason}"))
        return tuple(denials)


def compile_policies(policies: Iterable[Policy]) -> CompiledPolicies:
    """Merge policies and read their terms; see ``CompiledPolicies``."""
    return CompiledPolicies(
        tuple(_rule(policy.source, term) for policy in merge_policies(policies) for term in policy.terms)
    )


def judge_policies(policies: Iterable[Policy], facts: JobFacts, at: Instant) -> tuple[Denied, ...]:
    """Every reason why the policies together do not permit a job; empty when they do.

    Each denial's article names the policy's source and the term's clause.
    """
    return compile_policies(policies).judge(facts, at)


def _rule(source: str, term: Term) -> tuple[str, str, Check | None, Any]:
    bent = judge_form(term, source)
    if isinstance(bent, Denied):
        return bent.article, term.name, None, bent.reason
    rule = VOCABULARY[term.name]
    return article_of(source, term), term.name, rule.check, rule.read(term.value)


def _term_key(term: Term) -> tuple[str, str, str, str]:
    # The type is part of the key: True == 1 in Python, and a malformed term must not hide behind a good one.
    return (term.clause, term.name, type(term.value).__name__, repr(term.value))
