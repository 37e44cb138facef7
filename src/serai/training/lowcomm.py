"""Low-communication rounds: few bits of a pseudo-gradient on a public scale, error feedback, outer step.

Theory of operation
    A member trains for many steps and sends one digit of -L to L for each parameter: its
    pseudo-gradient (global - local, DiLoCo, arXiv:2311.08105) in units of a step
    (``training.quantiser``). The steps' scales are part of the model, one for each block (a
    tensor, or a row of an embedding), and its digest covers them. They follow the updates'
    size by the members' reports, of which only the sum is seen. The first scale is what AdamW
    moves a weight in a random walk of H steps, lr sqrt(H).

    A round need not bring every parameter. The parameters, laid end to end, are cut into J
    fragments, which travel in turn (Streaming DiLoCo, arXiv:2501.18512). What a member has learnt
    about the others stays in its offset from the global model until their turn
    (``training.offsets``), and so does what it learns while a vector travels. The model counts its
    rounds, so everybody knows whose turn it is. The last round of a run may bring every
    parameter, and more finely, so that nothing is left behind.

    Successive sums of a fragment also tell how far momentum carries: with Nesterov momentum
    mu and correlation rho between them a unit of update moves the model by about
    eta (1 + mu / (1 - mu rho)). Both are kept in the model. In a fragment's first rounds,
    when updates all point one way, and where rho is large, momentum would overshoot, and rests.

    What members compute alone may differ by chip. What they compute from the sum
    is elementwise in float64, or exact in integers.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from serai.aggregation.codec import Block, Codec
from serai.errors import Refused
from serai.training.fragments import Layout, Stretch, cut_layout, join_stretches
from serai.training.methods import Context, Vector
from serai.training.offsets import Offsets, Sending
from serai.training.outer import Averaging, Nesterov, outer_step_within, with_outer_state
from serai.training.quantiser import COARSEST, FINEST, Array, Digits, Integers, Quantiser, octaves_of
from serai.training.tensors import Model, Tensor, slices

SCALE: Final = "lowcomm/scale"
"""The public scale of each block, sixteenths of an octave, ``int32``."""

GAIN: Final = "lowcomm/gain"
"""For each fragment the correlation of its last two sums and the effective outer step, ``(fragments, 2) float64``."""

DONE: Final = "lowcomm/done"
"""Rounds that went into this model, ``(1,) int64``."""

_LAST: Final = "lowcomm/last"
_LAST_SCALE: Final = "lowcomm/last_scale"

_TOO_STEADY: Final = 0.7  # correlation of successive updates at which momentum overshoots instead of helping
_MOST_FIGURE: Final = 10**6
_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What travels when.

    Attributes:
        fragments: J, parts of the model that travel in turn.
        plain: rounds of a fragment before momentum applies to it.
        last: how the last round, in which every parameter travels, is quantised; None if it is like the others.
        rounds: of the run; needed to know the last.

    """

    fragments: int = 1
    plain: int = 15
    last: Quantiser | None = None
    rounds: int = 0


def effective_step(optimizer: Averaging | Nesterov, rho: float) -> float:
    """How far a unit of update moves the model in the end, eta (1 + mu / (1 - mu rho)).

    Args:
        optimizer: the outer optimizer.
        rho: correlation of successive updates.

    """
    mu = optimizer.momentum if isinstance(optimizer, Nesterov) else 0.0
    return optimizer.lr * (1 + mu / (1 - mu * rho)) if mu else optimizer.lr


def rounds_in(model: Model) -> int:
    """Rounds that went into a model."""
    return int(model[DONE][0])


class LowComm:
    """Everything of a low-communication method but the local steps.

    Args:
        layout: the model's parameters.
        quantiser: what a member sends of its update.
        optimizer: the outer optimizer.
        first_rms: expected size of a parameter's update in the first rounds, such as lr sqrt(steps).
        schedule: what travels when.

    """

    def __init__(
        self,
        layout: Layout,
        quantiser: Quantiser,
        optimizer: Averaging | Nesterov,
        first_rms: float,
        schedule: Schedule = Schedule(),
    ) -> None:
        self.layout = layout
        self.quantiser = quantiser
        self.schedule = schedule
        self._optimizer = optimizer
        self._first = int(octaves_of(np.array([first_rms]))[0])
        self._fragments = cut_layout(layout, schedule.fragments)
        self._whole = join_stretches(self._fragments)

    @property
    def length(self) -> int:
        """Values in a vector: a digit for each parameter of the largest fragment, and a few for each block's report."""
        digits = self.quantiser.report_digits
        return max(part.size + digits * part.grouped.lengths.size for part in self._fragments)

    @property
    def last_length(self) -> int:
        """Values in the last round's vector; nothing comes after it for which scales should be reported."""
        return self.length if self.schedule.last is None else self._whole.size

    def codec(self, members: int) -> Codec:
        """As many digits to a ring element as the sum of ``members`` leaves room for."""
        return _codec(self.length, self.quantiser, members)

    def last_codec(self, members: int) -> Codec | None:
        """The last round's codec; None if that round is like the others."""
        last = self.schedule.last
        return None if last is None else _codec(self.last_length, last, members)

    def initial(self, parameters: Model) -> Model:
        """A model of these parameters with everything that later rounds keep in it."""
        blocks = self._whole.grouped.lengths.size
        return {
            **with_outer_state(self._optimizer, parameters),
            DONE: np.zeros(1, np.int64),
            SCALE: np.full(blocks, self._first, np.int32),
            GAIN: np.zeros((self.schedule.fragments, 2), np.float64),
            _LAST: np.zeros(self._whole.size, np.int16),
            _LAST_SCALE: np.full(blocks, self._first, np.int32),
        }

    def begin(self, model: Model, context: Context) -> Model:
        """The parameters from which this member trains in a round, float32: the global ones and its offset."""
        offsets = Offsets(context)
        return self._displaced(model, offsets.merged(self._sent_stretch(offsets).values))

    def begin_ahead(self, model: Model, context: Context) -> Model:
        """The parameters from which it trains on while its vector travels: where it expects the global ones to be."""
        offsets = Offsets(context)
        if (offset := offsets.now) is not None:
            offset, values = offset.copy(), self._sent_stretch(offsets).values
            offset[values] *= np.float32(offsets.response)
        return self._displaced(model, offset)

    def message(self, model: Model, local: Model, context: Context) -> Vector:
        """What a member sends after its local steps.

        Args:
            model: the global model of the round.
            local: the parameters they ended at.
            context: its memory and figures are changed.

        Returns:
            ``(length,)``, or in the last round ``(last_length,) float32``, whole numbers of -L to L.

        Raises:
            Refused: a parameter is not a finite number, or the plan has not as many rounds as the recipe.

        """
        done, offsets = rounds_in(model), Offsets(context)
        if self.schedule.last is not None and context.is_last != self._is_last(done):
            raise Refused(
                "rounds-differ",
                f"expected the plan's {context.rounds} rounds to be the recipe's setting, rounds={self.schedule.rounds}; "
                "plan it again with both the same",
            )
        stretch, offset, residual = self._turn(done), self._offset(model, local), self._residual(offsets)
        sending = Sending(done=done, share=context.share, scale=model[SCALE][stretch.blocks])
        digits = self._encode(sending, offset[stretch.values], residual)
        self._show(model, digits, offset[stretch.values], context)
        offsets.keep(offset, residual, sending, self._response(model, offsets))
        return self._vector(digits, sending)

    def keep_ahead(self, model: Model, local: Model, context: Context, steps: int, nats: float) -> None:
        """Remember what a member learnt while its vector travelled.

        Args:
            model: the global model of the round in which it was sent.
            local: the parameters after the steps taken ahead.
            context: its memory is changed.
            steps: how many.
            nats: their mean loss.

        Raises:
            Refused: a parameter is not a finite number.

        """
        offsets, offset = Offsets(context), self._offset(model, local)
        stretch = self._sent_stretch(offsets)
        if offsets.now is not None:
            offset[stretch.values] += np.float32(1 - offsets.response) * offsets.now[stretch.values]
        offsets.keep_ahead(offset, stretch.values, self._flat(model, stretch), (steps, nats))

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """The next model from the summed digits of so many average members; the same bits everywhere."""
        done = rounds_in(model)
        stretch, quantiser = self._turn(done), self._quantiser(done)
        summed = np.rint(total).astype(np.int64)
        after: dict[str, Tensor] = {**model, DONE: np.array([done + 1], np.int64)}
        for number in stretch.fragments:
            part = self._fragments[number]
            first = part.values.start - stretch.values.start
            after.update(self._stepped(after, number, summed[first : first + part.size], (quantiser, members)))
        return after if quantiser is self.schedule.last else {**after, **self._followed(model, summed, members)}

    def _vector(self, digits: Digits, sending: Sending) -> Vector:
        """Digits, then the blocks' reports; zeros where a fragment is shorter than the largest."""
        if self._quantiser(sending.done) is self.schedule.last:
            return digits.values
        vector, count = np.zeros(self.length, np.float32), digits.values.size
        report = self.quantiser.report(digits.off * sending.share)
        vector[:count] = digits.values
        vector[count : count + report.size] = report
        return vector

    def _stepped(self, model: Model, number: int, summed: Integers, read: tuple[Quantiser, float]) -> dict[str, Tensor]:
        """What one outer step on a fragment changes; ``read`` is by what quantiser and how many members."""
        (quantiser, members), part = read, self._fragments[number]
        steps = quantiser.steps(model[SCALE][part.blocks])
        mean: Array = summed * part.grouped.spread(steps) / members
        rho = self._correlation(model, part, summed, steps)
        optimizer = self._outer(rounds_in(model) - 1, number, rho)
        after: dict[str, Tensor] = {}
        for name, within, place in part.pieces(model, self.layout.names):
            after.update(outer_step_within(optimizer, model, name, within, mean[place]))
        gain = model[GAIN].copy()
        gain[number] = rho, effective_step(optimizer, rho)
        return {**after, GAIN: gain}

    def _followed(self, model: Model, summed: Integers, members: float) -> dict[str, Tensor]:
        """Scales that follow the updates of the fragment whose turn it was, and its digits for the next correlation."""
        part = self._turn(rounds_in(model))
        count = self.quantiser.report_digits * part.grouped.lengths.size
        reports = self.quantiser.read_reports(summed[part.size : part.size + count])
        scale, last, last_scale = (model[name].copy() for name in (SCALE, _LAST, _LAST_SCALE))
        last[part.values] = np.clip(summed[: part.size], -(2**15) + 1, 2**15 - 1)
        last_scale[part.blocks] = scale[part.blocks]
        followed = scale[part.blocks] + (2 * reports + members) // (2 * members)  # their mean, to the nearest
        scale[part.blocks] = np.clip(followed, FINEST, COARSEST)
        return {SCALE: scale, _LAST: last, _LAST_SCALE: last_scale}

    def _outer(self, done: int, number: int, rho: float) -> Averaging | Nesterov:
        """The outer optimizer; its momentum rests in a fragment's first rounds, and where updates are steady."""
        turns = (done + self.schedule.fragments - 1 - number) // self.schedule.fragments
        rests = turns < self.schedule.plain or rho > _TOO_STEADY
        if rests and isinstance(self._optimizer, Nesterov):
            return replace(self._optimizer, momentum=0.0)
        return self._optimizer

    def _correlation(self, model: Model, part: Stretch, summed: Integers, steps: Array) -> float:
        """The cosine of a fragment's sum and its last: exact integers for each block, then their sum in order."""
        last = model[_LAST][part.values].astype(np.int64)
        last_steps = self.quantiser.steps(model[_LAST_SCALE][part.blocks])
        both = _weigh(part.grouped.sums(summed * last), steps, last_steps)
        this_norm = _weigh(part.grouped.sums(summed * summed), steps, steps)
        last_norm = _weigh(part.grouped.sums(last * last), last_steps, last_steps)
        norms = math.sqrt(this_norm) * math.sqrt(last_norm)
        return both / norms if norms else 0.0

    def _is_last(self, done: int) -> bool:
        return done + 1 >= self.schedule.rounds

    def _quantiser(self, done: int) -> Quantiser:
        last = self.schedule.last
        return last if last is not None and self._is_last(done) else self.quantiser

    def _turn(self, done: int) -> Stretch:
        """What travels after so many rounds."""
        is_whole = self.schedule.last is not None and self._is_last(done)
        return self._whole if is_whole else self._fragments[done % self.schedule.fragments]

    def _sent_stretch(self, offsets: Offsets) -> Stretch:
        return self._turn(0 if offsets.sending is None else offsets.sending.done)

    def _encode(self, sending: Sending, offset: Vector, residual: Vector | None) -> Digits:
        """Digits of a vector; the same again from what was kept of it."""
        stretch = self._turn(sending.done)
        rest = None if residual is None else residual[stretch.values]
        update = offset * np.float32(-sending.share)
        return self._quantiser(sending.done).encode(update, rest, sending.scale, stretch.grouped)

    def _residual(self, offsets: Offsets) -> Vector | None:
        """What rounding has left over, once it is known what became of the last vector; None for zero."""
        sending, residual = offsets.sending, offsets.residual
        if not self.quantiser.feedback or offsets.is_too_late:
            return None
        if sending is None or not offsets.was_summed:
            return residual
        values = self._turn(sending.done).values
        after = np.zeros(self._whole.size, np.float32) if residual is None else residual.copy()
        after[values] = self._encode(sending, offsets.sent(values), residual).rest
        return after

    def _offset(self, model: Model, local: Model) -> Vector:
        """Local minus global, all parameters end to end, float32."""
        offset = np.empty(self._whole.size, np.float32)
        for name, place in slices(model, self.layout.names):
            np.subtract(local[name].reshape(-1), model[name].reshape(-1), out=offset[place], casting="same_kind")
        if not np.isfinite(offset).all():
            raise Refused(
                "not-finite", "the local model holds NaN or infinity; lower the learning rate or check the data"
            )
        return offset

    def _response(self, model: Model, offsets: Offsets) -> float:
        """How far the global model followed this member's last vector, 0 to 1; as before where that cannot be told."""
        before, stretch = offsets.sent_from, self._sent_stretch(offsets)
        if before is None:
            return offsets.response
        sent = offsets.sent(stretch.values).astype(np.float64)
        moved = self._flat(model, stretch).astype(np.float64) - before
        energy = float((sent * sent).sum())
        return min(max(float((moved * sent).sum()) / energy, 0.0), 1.0) if energy else offsets.response

    def _flat(self, model: Model, stretch: Stretch) -> Vector:
        """A stretch of the global parameters, float32."""
        found = np.empty(stretch.size, np.float32)
        for name, within, place in stretch.pieces(model, self.layout.names):
            found[place] = model[name].reshape(-1)[within]
        return found

    def _displaced(self, model: Model, offset: Vector | None) -> Model:
        """The global parameters and an offset, float32."""
        if offset is None:
            return {name: model[name].astype(np.float32) for name in self.layout.names}
        return {
            name: (model[name].reshape(-1) + offset[place]).astype(np.float32).reshape(model[name].shape)
            for name, place in slices(model, self.layout.names)
        }

    def _show(self, model: Model, digits: Digits, offset: Vector, context: Context) -> None:
        """Fill in the figures that the rounding and the model give."""
        done, fragments = rounds_in(model), self.schedule.fragments
        context.figures["clipped_ppm"] = round(digits.clipped * 10**6 / digits.values.size)
        if self._quantiser(done).feedback:
            update = context.share * _norm(offset)
            ratio = _norm(digits.rest) / update if update else 0.0
            context.figures["residual_permille"] = min(round(1000 * ratio), _MOST_FIGURE)
        if done >= fragments:  # before that, this fragment has no sum behind it
            rho, gain = model[GAIN][done % fragments].tolist()
            context.figures["rho_permille"], context.figures["gain_permille"] = round(1000 * rho), round(1000 * gain)


def _codec(length: int, quantiser: Quantiser, members: int) -> Codec:
    whole = Block(length=length, step=Fraction(1))
    return Codec(bits=_BITS, limit=quantiser.levels, blocks=(whole,), members=members)


def _weigh(dots: Integers, first: Array, second: Array) -> float:
    total = 0.0
    for dot, one, other in zip(dots.tolist(), first.tolist(), second.tolist(), strict=True):
        total += dot * one * other
    return total


def _norm(values: Vector) -> float:
    return math.sqrt(float(np.square(values, dtype=np.float64).sum()))
