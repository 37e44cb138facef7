"""The zone's own privacy ledger: what runs have reserved of its datasets, and which releases they have paid for.

Theory of operation
-------------------
A run's whole cost is reserved before the zone joins, in one transaction that
holds the database's write lock from its first statement: two runs cannot both
take what is left. A release is paid before its masks are released. What was paid
is never given back; a run that ends without a release frees what it reserved.
A crash between paying and saying so leaves the payment, and the release is said
again without a second one: payments are by round, and a round is paid once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Column, Engine, Integer, MetaData, Select, String, Table, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from serai.kernel.ids import Digest
from serai.kernel.verdict import Denied
from serai.storage.database import transaction
from serai.zones.facts import PrivacyCost, Unit

_METADATA: Final = MetaData()
_RESERVED: Final = Table(
    "privacy_reserved",
    _METADATA,
    Column("run", String, primary_key=True),
    Column("dataset", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("epsilon_millionths", Integer, nullable=False),
    Column("delta_trillionths", Integer, nullable=False),
)
_PAID: Final = Table(
    "privacy_paid",
    _METADATA,
    Column("round", String, primary_key=True),
    Column("run", String, nullable=False, index=True),
)

Judge = Callable[[Mapping[Digest, PrivacyCost]], Iterable[Denied]]
"""Why a cost may not be reserved beside those of other runs; nothing if it may."""


class Ledger:
    """What runs take of the zone's privacy budgets. Safe to use from several threads.

    Args:
        engine: the journal's database.

    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _METADATA.create_all(engine)

    def others(self, run: Digest, dataset: Digest) -> Mapping[Digest, PrivacyCost]:
        """What other runs have reserved of a dataset, by run."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_others(run, dataset)).all()
        return _by_run(rows)

    def reserve(self, run: Digest, dataset: Digest, cost: PrivacyCost, judge: Judge) -> tuple[Denied, ...]:
        """Set aside what a run may cost at most, unless that is too much.

        Reserving again, as after a crash, replaces what the run had reserved.

        Args:
            run: the run.
            dataset: digest of the data it uses.
            cost: what it may cost.
            judge: decides, while nobody else can reserve.

        Returns:
            Why not; empty if it is reserved.

        """
        values = {
            "dataset": dataset,
            "unit": cost.unit.value,
            "epsilon_millionths": cost.epsilon_millionths,
            "delta_trillionths": cost.delta_trillionths,
        }
        statement = insert(_RESERVED).values(run=run, **values)
        try:
            with transaction(self._engine) as connection:
                # Written first: that takes the lock, and what is read next cannot change before the end.
                connection.execute(statement.on_conflict_do_update(index_elements=["run"], set_=values))
                _roll_back_if(judge(_by_run(connection.execute(_others(run, dataset)).all())))
        except _OverdrawnError as overdrawn:
            return overdrawn.denials
        return ()

    def releases(self, run: Digest, round_id: Digest) -> int:
        """How many releases of a run are paid for, the given one included."""
        statement = select(func.count()).where(_PAID.c.run == run, _PAID.c.round != round_id)
        with transaction(self._engine) as connection:
            return 1 + int(connection.execute(statement.select_from(_PAID)).scalar_one())

    def pay(self, run: Digest, round_id: Digest) -> None:
        """Note that a release is paid for."""
        statement = insert(_PAID).values(round=round_id, run=run)
        with transaction(self._engine) as connection:
            connection.execute(statement.on_conflict_do_nothing())

    def free(self, run: Digest) -> None:
        """Give back what a run has reserved, if it has released nothing."""
        paid = select(_PAID.c.run).where(_PAID.c.run == run)
        with transaction(self._engine) as connection:
            connection.execute(delete(_RESERVED).where(_RESERVED.c.run == run, ~paid.exists()))


class _OverdrawnError(Exception):
    """Rolls a reservation back."""

    def __init__(self, denials: tuple[Denied, ...]) -> None:
        super().__init__()
        self.denials = denials


def _roll_back_if(denials: Iterable[Denied]) -> None:
    if found := tuple(denials):
        raise _OverdrawnError(found)


def _others(run: Digest, dataset: Digest) -> Select[Any]:
    return select(_RESERVED).where(_RESERVED.c.dataset == dataset, _RESERVED.c.run != run)


def _by_run(rows: Iterable[Any]) -> Mapping[Digest, PrivacyCost]:
    return {
        Digest(row.run): PrivacyCost(
            unit=Unit(row.unit), epsilon_millionths=row.epsilon_millionths, delta_trillionths=row.delta_trillionths
        )
        for row in rows
    }
