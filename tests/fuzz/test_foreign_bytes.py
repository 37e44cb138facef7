"""Whatever bytes a stranger sends, every parser answers with a value or one of the eight families of errors."""

import contextlib
import json
import struct
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from serai.agent.datasets import DatasetSettings, Feature, FeatureKind, Label, MissingPolicy
from serai.agent.receipts import Evidence, Known, judge_evidence, parse_evidence
from serai.agent.settings import ZoneSettings
from serai.agent.vault import Vault
from serai.aggregation.ring import Ring
from serai.center.uploads import parse_content_range
from serai.errors import Malformed, SeraiError, Unverified
from serai.kernel.canonical import canonical, parse
from serai.kernel.envelope import parse_envelope, sign_statement
from serai.kernel.ids import digest_of, parse_digest, parse_member_id
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.ledger.checkpoint import open_checkpoint, parse_checkpoint
from serai.ledger.note import parse_note, parse_signature, parse_vkey
from serai.ledger.policy import Witnesses, open_witnessed
from serai.ledger.proof import parse_proof
from serai.ledger.statements import Receipt
from serai.ledger.tiles import encode_bundle, parse_bundle, parse_tile_path, split_tile
from serai.ledger.trust_policy import parse_policy
from serai.ledger.witnessing import parse_add_checkpoint
from serai.state import KINDS, State, advance, decode_state, digest_state, encode_state
from serai.storage.keyring import Keyring
from serai.storage.partials import GRID_BYTES, MAX_PIECE_BYTES
from serai.storage.snapshots import SnapshotFile
from serai.training.tensors import model_bytes, read_model
from serai.transport.client import HttpCenter
from serai.transport.connection import Call, Dialing
from serai.transport.problems import error_of, problem_of
from serai.transport.signatures import RequestHead, RequestVerifier, verify_content_digest
from serai.transport.signatures import parse_signature as parse_request_signature
from serai.transport.transfers import _pieces
from serai.transport.wire import UploadReply

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MORE = settings(FEW, max_examples=200)

numbers = st.integers(-(2**60), 2**60) | st.integers(-2, 3)
digests = st.sampled_from([digest_of(b""), digest_of(b"x"), "0" * 64])
texts = st.text(max_size=12) | digests | st.sampled_from(["bern", "lima", "operator", "agreement", "", "yes", "\ud800"])
jsons = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | texts, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bent(draw, data: bytes):
    """The bytes with a few of them changed, cut out, repeated or put in."""
    bytes_ = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(bytes_)))
        end = min(len(bytes_), start + draw(st.integers(0, 12)))
        match draw(st.sampled_from(["flip", "cut", "repeat", "insert"])):
            case "flip" if start < len(bytes_):
                bytes_[start] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del bytes_[start:end]
            case "repeat":
                bytes_[start:start] = bytes_[start:end]
            case _:
                bytes_[start:start] = draw(st.binary(max_size=6))
    return bytes(bytes_)


@st.composite
def bent_json(draw, value):
    """The value with one node of it replaced, removed or doubled."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 5)):
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: draw(bent_json(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(value) - 1))
        if not draw(st.integers(0, 5)):
            return [*value, value[place]]
        return [*value[:place], draw(bent_json(value[place])), *value[place + 1 :]]
    if isinstance(value, int) and draw(st.booleans()):
        return draw(numbers)
    return draw(jsons)


def only_ours(call, *args):
    """The answer, or None where it was one of the errors that callers know how to handle."""
    with contextlib.suppress(SeraiError):
        return call(*args)
    return None


# Kernel


@MORE
@given(st.binary(max_size=200) | jsons.map(lambda value: json.dumps(value).encode()))
def test_what_parses_as_canonical_json_is_the_only_spelling_of_its_value(data):
    try:
        value = parse(data)
    except Malformed:
        return
    assert canonical(value) == data


@FEW
@given(jsons)
def test_every_value_with_a_canonical_form_comes_back_from_it(value):
    data = only_ours(canonical, value)
    assume(data is not None)
    assert parse(data) == value


@pytest.mark.parametrize("depth", [18, 1_000, 60_000 // 2])
def test_deep_nesting_is_malformed_and_costs_no_stack(depth):
    for data in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        with pytest.raises(Malformed):
            parse(data[:65_535])


@MORE
@given(st.data())
def test_a_bent_entry_is_malformed_or_names_another_statement_or_its_signature_breaks(log, data):
    entry = data.draw(st.sampled_from(log.entries))
    true = parse_envelope(entry)
    try:
        found = parse_envelope(data.draw(bent(entry)))
    except Malformed:
        return
    if found.id != true.id:
        for signer in log.signers:
            with pytest.raises(Unverified):
                found.verify(signer.public)


@FEW
@given(st.text(max_size=80))
def test_digests_and_names_are_read_as_they_are_or_not_at_all(text):
    for reader in (parse_digest, parse_member_id):
        assert only_ours(reader, text) in {None, text}


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(FEW, max_examples=25)
@given(jsons)
def test_noise_is_no_record_of_any_kind(kind, value):
    body = only_ours(from_json, KINDS[kind], value)
    assert body is None or from_json(KINDS[kind], to_json(body)) == body


@MORE
@given(st.data())
def test_a_bent_statement_is_refused_or_read_as_exactly_what_it_says(log, data):
    envelope = parse_envelope(data.draw(st.sampled_from(log.entries)))
    body = only_ours(from_json, KINDS[envelope.kind], data.draw(bent_json(dict(envelope.predicate))))
    assert body is None or from_json(KINDS[envelope.kind], to_json(body)) == body


def test_the_log_that_is_bent_here_has_every_kind_of_statement(log):
    assert {parse_envelope(entry).kind for entry in log.entries} == set(KINDS)


# The fold


def grown(state, entry):
    after = advance(state, entry)
    assert after.size == state.size + 1
    return after


@MORE
@given(st.data())
def test_no_bytes_stop_the_fold(log, data):
    index = data.draw(st.integers(0, len(log.entries)))
    entry = data.draw(st.binary(max_size=60) | bent(data.draw(st.sampled_from(log.entries))))
    state = grown(log.states[index], entry)
    if index < len(log.entries):
        assert grown(state, log.entries[index]).size == index + 2


@MORE
@given(st.data())
def test_no_words_of_anybody_stop_the_fold_whenever_they_are_said(log, data):
    """Well-formed and signed with true keys: what a dishonest member could say."""
    envelope = parse_envelope(data.draw(st.sampled_from(log.entries)))
    state = data.draw(st.sampled_from(log.states))
    predicate = data.draw(st.just(dict(envelope.predicate)) | bent_json(dict(envelope.predicate)))
    assume(isinstance(predicate, dict))
    signers = [s for s in log.signers if data.draw(st.booleans()) or digest_of(s.public) == envelope.signer]
    for signer in signers[:3]:
        nonce = data.draw(st.binary(min_size=1, max_size=2))
        entry = only_ours(lambda s=signer, n=nonce: sign_statement(envelope.kind, predicate, {}, s, n))
        if entry is not None:
            after = grown(state, entry)
            digest_state(after)
            state = after


@FEW
@given(st.data())
def test_the_log_in_another_order_still_folds_and_twice_to_the_same_state(log, data):
    order = data.draw(st.permutations(range(len(log.entries))))
    for_two = []
    for _ in range(2):
        state = log.states[0]
        for index in order[:20]:
            state = grown(state, log.entries[index])
        for_two.append(digest_state(state))
    assert for_two[0] == for_two[1]


# The ledger


@MORE
@given(st.data())
def test_a_bent_note_is_refused_or_still_speaks_of_the_same_head(log, data):
    key = parse_vkey(log.charter.log_key)
    witnesses = Witnesses({m.id: m.keys["witness"][0] for m in log.charter.members}, log.charter.faulty)
    true = open_witnessed(log.witnessed, key, witnesses)
    text = data.draw(bent(log.witnessed.encode())).decode(
        errors=data.draw(st.sampled_from(["replace", "surrogateescape"]))
    )
    found = only_ours(open_witnessed, text, key, witnesses)
    assert found is None or found.checkpoint == true.checkpoint


@MORE
@given(
    st.sampled_from(["", "c2sp.org/tlog-proof@v1\nindex 0\n", "old 0\n", "quorum none\n", "log "]),
    st.text(max_size=200) | st.text("\n —ab+/=019", max_size=80),
)
def test_a_proof_a_policy_or_a_request_to_cosign_is_read_or_refused(start, rest):
    text = start + rest
    for read in (parse_proof, parse_policy, parse_add_checkpoint):
        found = only_ours(read, text)
        assert found is None or only_ours(read, found.encode()) == found


@FEW
@given(st.data())
def test_bent_evidence_of_withholding_is_read_as_it_is_or_refused_and_proves_nothing(log, data):
    (given,) = [entry for entry in log.entries if parse_envelope(entry).kind == Receipt.KIND]
    true = Evidence(entry=data.draw(st.sampled_from(log.entries)).decode(), receipts=(given.decode(),))
    value = data.draw(bent(true.encode()))
    found = only_ours(parse_evidence, value)
    assert found is None or found.encode() == value.strip()
    if found is not None:
        state = log.states[-1]
        finding = judge_evidence(found, Known(lambda _size: state, state.size, state.seen.get))
        assert not finding.is_proved


@MORE
@given(jsons)
def test_noise_is_no_evidence_of_withholding(value):
    data = only_ours(canonical, value)
    assert data is None or only_ours(parse_evidence, data) is None


@MORE
@given(st.text(max_size=200) | st.text("\n —ab+/=019", max_size=80))
def test_noise_is_no_note_key_signature_or_checkpoint(text):
    note = only_ours(parse_note, text)
    assert note is None or note.encode() == text
    key = only_ours(parse_vkey, text)
    assert key is None or key.encode() == text
    line = only_ours(parse_signature, text)
    assert line is None or line.encode() == text
    checkpoint = only_ours(parse_checkpoint, text)
    assert checkpoint is None or checkpoint.body() == text


@FEW
@given(st.data())
def test_a_bent_checkpoint_is_not_the_logs(log, data):
    text = data.draw(bent(log.note.encode())).decode(errors="replace")
    found = only_ours(lambda: open_checkpoint(parse_note(text), parse_vkey(log.charter.log_key)))
    assert found is None or found == open_checkpoint(parse_note(log.note), parse_vkey(log.charter.log_key))


@FEW
@given(st.binary(max_size=300), st.integers(0, 5))
def test_a_bundle_is_read_whole_or_not_at_all(data, width):
    entries = only_ours(parse_bundle, data, width)
    assert entries is None or (encode_bundle(entries) == data and len(entries) == width)
    hashes = only_ours(split_tile, data, width)
    assert hashes is None or b"".join(hashes) == data


@FEW
@given(st.data())
def test_a_bent_bundle_is_refused_or_another_bundle(log, data):
    true = encode_bundle(log.entries[:4])
    bytes_ = data.draw(bent(true))
    entries = only_ours(parse_bundle, bytes_, 4)
    assert entries is None or encode_bundle(entries) == bytes_


@FEW
@given(
    st.text(max_size=40)
    | st.from_regex(r"tile/(entries|[0-9])/(x[0-9]{3}/){0,3}[0-9]{3}(\.p/[0-9]{1,3})?", fullmatch=True)
)
def test_a_tile_path_has_one_spelling(path):
    tile = only_ours(parse_tile_path, path)
    assert tile is None or tile.path() == path


# Models and vectors

MODEL = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1, 2], np.int64), "c": np.zeros((0, 3))}


@MORE
@given(st.binary(max_size=120) | bent(model_bytes(MODEL)))
def test_what_reads_as_a_model_writes_back_to_the_same_bytes(data):
    model = only_ours(read_model, data)
    assert model is None or model_bytes(model) == data


@MORE
@given(bent_json(json.loads(model_bytes(MODEL)[8:].split(b"\0")[0].split(b"}}")[0] + b"}}")), st.binary(max_size=64))
def test_no_header_makes_a_model_out_of_bytes_that_are_not_there(header, rest):
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + rest
    model = only_ours(read_model, data)
    assert model is None or sum(tensor.nbytes for tensor in model.values()) == len(rest)


@FEW
@given(st.binary(max_size=80), st.integers(2, 64), st.integers(0, 40))
def test_a_vector_has_the_size_that_was_agreed_or_is_refused(data, bits, count):
    ring = Ring(bits)
    lanes = only_ours(ring.unpack, data, count)
    assert (lanes is None) == (len(data) != ring.packed_bytes(count))
    assert lanes is None or (len(lanes) == count and all(int(lane) < 2**bits for lane in lanes))


@FEW
@given(numbers)
def test_a_ring_of_a_strangers_choice_is_a_ring_or_refused(bits):
    ring = only_ours(Ring, bits)
    assert (ring is not None) == (2 <= bits <= 64)


# A member's own files

TABLE = b"x0,x1,label\n1,2.5,1\n-3,4e2,0\n5,,1\n0.5,7,0\n"


def settings_of(folder, missing, share):
    dataset = DatasetSettings(
        title="t",
        path=str(folder / "rows.csv"),
        features=tuple(Feature(name=name, column=name, kind=FeatureKind.NUMBER) for name in ("x0", "x1")),
        label=Label(column="label", above=0),
        missing=missing,
        test_share=share,
    )
    return ZoneSettings(
        home=folder,
        member="bern",
        name="bern",
        jurisdiction="XX",
        center_url="",
        genesis=digest_of(b""),
        max_staleness_s=60,
        policy=(),
        legal=(),
        datasets={"rows": dataset},
    )


@MORE
@given(
    st.binary(max_size=60)
    | bent(TABLE)
    | st.text(',\n"\r x01label.e-', max_size=60).map(lambda t: b"x0,x1,label\n" + t.encode()),
    st.sampled_from(MissingPolicy),
    st.sampled_from([Fraction(0), Fraction(1, 2)]),
)
def test_a_table_is_read_as_finite_numbers_or_refused(log, content, missing, share):
    vault = Vault(settings_of(log.folder, missing, share))
    (log.folder / "rows.csv").write_bytes(content)
    data = only_ours(vault.load, "rows")
    assert only_ours(vault.digest, "rows") is not None
    if data is not None:
        assert data.x.shape == (len(data.y), 2)
        assert all(np.isfinite(part).all() for part in (data.x, data.y, data.test_x, data.test_y))
        assert len(data.y) + len(data.test_y) == vault.rows("rows")


# The wire


@MORE
@given(
    st.integers(300, 599),
    st.binary(max_size=80)
    | bent(problem_of(Malformed("json-invalid", "expected canonical JSON")).model_dump_json().encode())
    | jsons.map(lambda value: json.dumps(value).encode()),
)
def test_every_failing_answer_is_one_of_the_eight_families(status, body):
    error = error_of(status, body)
    assert isinstance(error, SeraiError)
    assert error.code


INPUT = 'serai=("@method" "@path" "@query");created=1;nonce="0123456789abcdef";keyid="00";alg="ed25519"'
SIGNATURE = "serai=:" + "A" * 86 + "==:"


@MORE
@given(
    st.text(max_size=60) | bent(INPUT.encode()).map(lambda data: data.decode(errors="replace")) | st.just(INPUT),
    st.text(max_size=60)
    | bent(SIGNATURE.encode()).map(lambda data: data.decode(errors="replace"))
    | st.just(SIGNATURE),
)
def test_a_signature_field_of_any_form_lets_nobody_in(signature_input, signature):
    headers = {"signature-input": signature_input, "signature": signature, "content-digest": signature}
    found = only_ours(parse_request_signature, headers)
    assert found is None or len(found.signature) == 64
    head = RequestHead(method="GET", path="/news", query="", headers=headers)
    with pytest.raises(SeraiError):
        RequestVerifier(lambda _key: bytes(32), lambda: 1.0).verify(head, with_body=True)
    with pytest.raises(Unverified):
        verify_content_digest(head, b"body")


RANGE = "bytes 0-7/100"
GAPS = b'{"whole":false,"size":20000000,"missing":[[0,4194304],[8388608,1048576],[19922944,77056]]}'
NEWS = b'{"first":0,"entries":["{}","x"],"checkpoint":"a","witnessed":null}'


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A client of something at a port that answers with whatever lies in ``said``."""
    said = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece, or each answer waits for an acknowledgement

        def do_GET(self):
            self.send_response(said["status"])
            self.send_header("content-length", str(len(said["body"])))
            self.send_header("content-range", said["range"])
            self.end_headers()
            self.wfile.write(said["body"])

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    keys = Keyring.create(tmp_path_factory.mktemp("keys") / "zone", [Role.ZONE])
    client = HttpCenter(f"http://127.0.0.1:{server.server_port}", keys.signer(Role.ZONE), "bern", Dialing(backoff_s=()))
    yield client, said
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


@FEW
@given(
    st.sampled_from([200, 200, 200, 206, 302, 404, 500]),
    bent(NEWS) | bent_json(json.loads(NEWS)).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([RANGE, RANGE, "bytes */9", "bytes 0-7/x", ""]),
)
def test_no_answer_of_a_center_surprises_a_zone(stranger, status, body, span):
    client, said = stranger
    said.update(status=status, body=body, range=span)
    news = only_ours(client.news, 0, 0, 0.0)
    assert news is None or (status == 200 and all(isinstance(entry, bytes) for entry in news.entries))
    part = only_ours(client.read_blob, digest_of(b""), 0, 8)
    assert part is None or (status == 206 and span == RANGE and part == body[:8])
    only_ours(client.health)


@FEW
@given(bent(GAPS) | bent_json(json.loads(GAPS)).map(lambda value: json.dumps(value).encode()))
def test_no_gaps_that_a_center_names_make_a_zone_send_for_ever(stranger, body):
    client, said = stranger
    said.update(status=200, body=body, range="")
    reply = only_ours(client._connection.json, UploadReply, Call(method="GET", path="/uploads"))
    spans = only_ours(_pieces, reply.missing, 20_000_000) if reply else None
    assert spans is None or sum(length for _, length in spans) <= 20_000_000


@MORE
@given(
    st.text(max_size=40)
    | bent(b"bytes 0-4194303/9000000").map(lambda data: data.decode(errors="replace"))
    | st.tuples(*[st.integers(-5, 2**50)] * 3).map(lambda three: "bytes {}-{}/{}".format(*three))
    | st.tuples(*[st.integers(0, 6)] * 3).map(
        lambda three: f"bytes {three[0] * 2**20}-{three[1] * 2**20 - 1}/{three[2] * 2**20}"
    )
)
def test_a_content_range_of_any_form_is_a_piece_within_its_blob_or_refused(text):
    span = only_ours(parse_content_range, text)
    if span is not None:
        assert 0 <= span.first < span.first + span.length <= span.total
        assert span.length <= MAX_PIECE_BYTES
        assert span.first % GRID_BYTES == 0


@pytest.fixture(scope="session")
def snapshot(log, tmp_path_factory):
    """A snapshot of all that the log adds up to, and how to read the file again."""
    path, state = tmp_path_factory.mktemp("snapshot") / "state.snapshot", log.states[-1]
    SnapshotFile(path, state.charter.genesis).write(state)
    root = state.frontier.root()
    return path, lambda: SnapshotFile(path, state.charter.genesis).read(state.size, lambda _: root)


@MORE
@given(st.data())
def test_a_bent_snapshot_is_the_state_it_was_or_is_not_used(log, snapshot, data):
    path, read = snapshot
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(bent(whole[:600]) | bent(whole), label="file"))
        assert read() in (State(), log.states[-1])
    finally:
        path.write_bytes(whole)
    assert read() == log.states[-1]


@MORE
@given(st.data())
def test_bent_states_are_read_or_refused_and_what_is_read_has_one_form(log, data):
    encoded = encode_state(log.states[-1])
    start = data.draw(st.integers(0, len(encoded)), label="start")
    part = data.draw(bent(encoded[start : start + 200]), label="part")
    with contextlib.suppress(SeraiError):
        found = decode_state(encoded[:start] + part + encoded[start + 200 :], 2 * len(encoded))
        assert decode_state(encode_state(found), 2 * len(encoded)) == found


@MORE
@given(jsons, st.integers(0, 20))
def test_states_with_anything_in_a_field_are_read_or_refused(log, value, place):
    fields = json.loads(encode_state(log.states[-1]))
    fields[place % len(fields)] = value
    with contextlib.suppress(SeraiError):
        assert decode_state(json.dumps(fields).encode(), 10**7)
