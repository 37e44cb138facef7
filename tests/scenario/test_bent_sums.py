"""What members do about sums that are not what the center says they are: who looks, who finds, and what follows."""

import logging
from dataclasses import replace

import pytest

from serai.agent.checking import UNSEEN
from serai.aggregation.audit import verify_round
from serai.aggregation.masking import Keystreams
from serai.aggregation.ring import CHUNK_VALUES, chunk_bytes
from serai.aggregation.state import divergence
from serai.aggregation.statements import RoundClose
from serai.errors import Missing, Unverified
from serai.kernel.ids import digest_of
from serai.testing.faults import Lens, see_through

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo")


def added_up(story, run):
    """The true masked sum of the uploads of round 0, as lanes."""
    codec, this = story.run(run).plan.codec, story.round(run, 0)
    lanes = codec.ring.zeros(codec.length)
    for upload in this.uploads.values():
        data = story.bloc.center_parts.blobs.read_range(upload.body.blob, 0, codec.upload_bytes)
        codec.ring.add(lanes, codec.ring.unpack(data, codec.length))
    return lanes


def true_total(story, run):
    """The digest of the unmasked sum of a round 0 of one chunk."""
    ring, lanes = story.run(run).plan.codec.ring, added_up(story, run)
    Keystreams(ring, story.round(run, 0).masks).add(lanes, 0)
    return digest_of(bytes(ring.pack(lanes)))


def close_with_a_bent_sum(story, run, place=3):
    """The center closes with a sum of which one bit is wrong, and keeps that sum."""
    bloc, lanes = story.bloc, added_up(story, run)
    bloc.is_careful = False
    lanes[place] ^= 1
    data = bytes(story.run(run).plan.codec.ring.pack(lanes))
    bloc.center.put_blob(digest_of(data), data)
    uploads = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    story.operator_says(RoundClose(open=story.round(run).id, uploads=uploads, masked_sum=digest_of(data)))


def audit(story, run):
    codec = story.run(run).plan.codec
    size = chunk_bytes(codec.bits)
    read = story.bloc.center.read_blob
    verify_round(codec, story.round(run, 0), lambda blob, chunk: read(blob, chunk * size, size))


def test_a_masked_sum_with_one_bit_changed_is_found_by_every_member_and_by_the_audit(uploaded, caplog):
    story, run = uploaded
    bloc = story.bloc
    close_with_a_bent_sum(story, run)
    with caplog.at_level(logging.WARNING):
        bloc.settle()
    this = story.round(run, 0)
    assert {result.total for result in this.results.values()} == {true_total(story, run)}
    assert set(this.results) == set(MEMBERS), "everybody goes on with the true sum"
    assert story.final(run) is not None
    found = "the masked sum of round 0 of run"
    assert sum(found in record.getMessage() for record in caplog.records) == len(MEMBERS)
    with pytest.raises(Unverified, match="the masked sum") as caught:
        audit(story, run)
    assert caught.value.code == "sum-wrong"


class Drawing:
    """A journal whose draws are given, so that a story knows who looks, and where."""

    def __init__(self, journal, draw):
        self._journal = journal
        self._draw = draw

    def __getattr__(self, name):
        return getattr(self._journal, name)

    def draw(self, _round_id, _draw):
        return self._draw.to_bytes(8)


def with_draw(draw):
    return lambda zone: replace(zone, journal=Drawing(zone.journal, draw))


LOOKS_NOT = 2**64 - 1


@pytest.fixture
def uploaded_by_nine(make_bloc):
    """A run of one more member than always look, of whom only the last is called to look; all have uploaded."""
    story = make_bloc(*"abcdefghi")
    agreement = story.bloc.agree()
    for member in "abcdefgh":
        story.bloc.deceive(member, with_draw(LOOKS_NOT))
    story.bloc.deceive("i", with_draw(0))
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: story.round(run) and len(story.round(run).uploads) == 9)
    return story, run


def test_one_member_that_looks_halts_the_run_for_everybody(uploaded_by_nine):
    story, run = uploaded_by_nine
    close_with_a_bent_sum(story, run)
    story.bloc.settle()
    this = story.round(run)
    assert this.body.number == 0, "nothing is built on the bent sum"
    assert this.results["i"].total == true_total(story, run)
    assert {result.total for result in this.results.values()} - {true_total(story, run)}
    for member in story.bloc.members.values():
        assert divergence(member.state.rounds, run) is not None
    with pytest.raises(Unverified, match="the masked sum"):
        audit(story, run)


def test_what_one_member_found_outlives_its_death(uploaded_by_nine):
    story, run = uploaded_by_nine
    close_with_a_bent_sum(story, run)
    story.step_until(lambda: "i" in story.round(run).releases)
    story.bloc.restart("i")
    story.bloc.settle()
    assert story.round(run).results["i"].total == true_total(story, run)
    assert divergence(story.bloc.state.rounds, run) is not None


def test_a_true_sum_passes_whoever_looks(uploaded_by_nine):
    story, run = uploaded_by_nine
    story.bloc.settle()
    assert story.final(run) is not None


class Refusing(Lens):
    """Does not show some blobs."""

    def __init__(self, center, blobs):
        super().__init__(center)
        self.blobs = blobs

    def read_blob(self, digest, offset, length):
        if digest in self.blobs:
            raise Missing("blob-missing", f"there is no blob {digest} here")
        return self.center.read_blob(digest, offset, length)


def test_who_looks_and_is_refused_an_upload_says_so_and_the_run_halts(uploaded_by_nine):
    story, run = uploaded_by_nine
    bloc = story.bloc
    hidden = {story.round(run).uploads["a"].body.blob}
    refusing = see_through(lambda center: Refusing(center, hidden))
    bloc.deceive("i", lambda zone: refusing(with_draw(0)(zone)))
    close_with_a_bent_sum(story, run)
    story.step_until(lambda: story.round(run).is_released)
    for _ in range(3):
        bloc.step()
    assert "i" not in story.round(run, 0).results, "it gives the center time"
    bloc.tick(2 * story.run(run).plan.round_ms)
    bloc.step_member("i")
    assert story.round(run, 0).results["i"].total == UNSEEN
    assert divergence(bloc.state.rounds, run) is not None


def test_who_looks_goes_on_when_it_is_shown_the_upload_late(uploaded_by_nine):
    story, run = uploaded_by_nine
    bloc = story.bloc
    hidden = {story.round(run).uploads["a"].body.blob}
    refusing = see_through(lambda center: Refusing(center, hidden))
    bloc.deceive("i", lambda zone: refusing(with_draw(0)(zone)))
    story.step_until(lambda: story.round(run).is_released)
    bloc.step()
    hidden.clear()
    bloc.settle()
    assert story.round(run, 0).results["i"].total == true_total(story, run)
    assert story.final(run) is not None


@pytest.mark.parametrize("chunk", [1, 3])
def test_of_a_large_sum_who_sees_the_bent_chunk_adds_up_the_rest_too(agreed, chunk):
    story, agreement = agreed
    bloc = story.bloc
    bloc.deceive("bern", with_draw(5 * 7 + 3))  # five chunks: it looks at the fourth
    for member in ("lima", "oslo"):
        bloc.deceive(member, with_draw(0))
    run = bloc.train(agreement, "probe", 2, {"size": str(4 * CHUNK_VALUES + 100)})
    story.step_until(lambda: story.round(run) and len(story.round(run).uploads) == 3)
    true = digest_of(bytes(story.run(run).plan.codec.ring.pack(added_up(story, run))))
    close_with_a_bent_sum(story, run, chunk * CHUNK_VALUES)
    bloc.settle()
    if chunk == 1:  # nobody drew it: only the audit finds it
        assert story.final(run) is not None
    else:
        assert divergence(bloc.state.rounds, run) is not None
        assert bloc.members["bern"].zone.blobs.has(true)
        assert story.round(run).body.number == 0
    with pytest.raises(Unverified, match="the masked sum"):
        audit(story, run)
