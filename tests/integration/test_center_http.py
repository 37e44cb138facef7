"""The center over real loopback sockets: every verb, and every way to ask wrongly."""

import asyncio
import http.client
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import urllib3

from serai.center.app import build, claim_port, loop_factory, serve
from serai.center.settings import CenterSettings
from serai.errors import Conflict, Malformed, Misconfigured, Missing, Refused, Unavailable, Unverified
from serai.kernel.envelope import sign_statement
from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role, key_id
from serai.ledger.checkpoint import cosign, log_key, open_checkpoint, witness_key
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses
from serai.storage.keyring import Keyring
from serai.transport.client import HttpCenter
from serai.transport.connection import Dialing
from serai.transport.signatures import RequestHead, content_digest, sign_request

ORIGIN = "center.test/log"
MAX_BLOB_BYTES = 4 * 2**20
NAMES = [MemberId(name) for name in ("astana", "bern", "cairo", "delhi")]


@dataclass(frozen=True)
class Roll:
    """The members of these tests, known from the start."""

    rings: dict[MemberId, Keyring]
    signers: dict = field(default_factory=dict)

    def __post_init__(self):
        for name, ring in self.rings.items():
            self.signers[name] = ring.signer(Role.ZONE)

    def admit(self, envelope):
        public = self.find_key(envelope.signer)
        if public is None:
            raise Refused("signer-unknown", "no member has this key", "admission 1")
        envelope.verify(public)

    def witnesses(self):
        return Witnesses({name: ring.signer(Role.WITNESS).public for name, ring in self.rings.items()})

    def find_key(self, key):
        return next((signer.public for signer in self.signers.values() if key_id(signer.public) == key), None)


class RunningCenter:
    """A center in a thread of this process, behind a real socket."""

    def __init__(self, folder):
        Keyring.create(folder / "keys", [Role.OPERATOR])
        self.roll = Roll({name: Keyring.create(folder / name, [Role.ZONE, Role.WITNESS]) for name in NAMES})
        settings = CenterSettings(folder=folder, origin=ORIGIN, port=0, max_blob_bytes=MAX_BLOB_BYTES)
        self.parts = build(settings, self.roll)
        self.log_key = log_key(ORIGIN, self.parts.operator.public)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)

    def _run(self):
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self.parts, (), self._stop, self._note)

    def _note(self, url):
        self.url = url
        self._ready.set()

    def client(self, name=NAMES[0], **dialing):
        return HttpCenter(self.url, self.roll.signers[name], name, Dialing(**dialing))

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def cosign_head(self, members):
        head = self.parts.sequencer.head()
        body = parse_note(head.note).text
        for name in members:
            line = cosign(body, name, self.roll.rings[name].signer(Role.WITNESS), int(time.time()))
            self.client(name).cosign(name, line, head.size)
        return head.size


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    center = RunningCenter(tmp_path_factory.mktemp("center"))
    yield center
    center.stop()


@pytest.fixture
def client(running):
    client = running.client()
    yield client
    client.close()


def entry(running, name=NAMES[0], **said):
    return sign_statement("note", {"nonce": secrets.token_hex(8), **said}, {}, running.roll.signers[name])


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ask(running, method, path, query="", *, body=None, headers=None, signed=True):
    """One request by hand; its status, headers and body."""
    headers = {"host": urlsplit(running.url).netloc, **(headers or {})}
    if body is not None and method == "POST":
        headers.setdefault("content-digest", content_digest(body))
    if signed:
        head = RequestHead(method=method, path=path, query=query, headers=headers)
        signer = running.roll.signers[NAMES[0]]
        headers |= sign_request(head, signer, created=int(time.time()), nonce=secrets.token_hex(16))
    return send(running, method, path + ("?" + query if query else ""), body, headers)


def send(running, method, target, body, headers):
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)
    try:
        connection.request(method, target, body, headers, encode_chunked="transfer-encoding" in headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def problem(answer, status, code):
    assert answer[0] == status, answer
    assert answer[1]["content-type"] == "application/problem+json"
    said = json.loads(answer[2])
    assert (said["code"], said["status"], said["type"]) == (code, status, f"urn:serai:problem:{code}")
    return said["detail"]


# --- the log


def test_what_is_submitted_comes_back_as_news_under_a_signed_checkpoint(running, client):
    before = client.health().size
    sent = entry(running, text="grüße, 世界")
    assert client.submit(sent) == before
    news = client.news(before, 0, 0)
    assert (news.first, news.entries) == (before, (sent,))
    assert open_checkpoint(parse_note(news.checkpoint), running.log_key).size == before + 1


def test_an_entry_sent_twice_has_one_index(running, client):
    sent = entry(running)
    assert client.submit(sent) == client.submit(sent)


def test_a_long_poll_is_answered_by_the_next_entry_at_once(running, client):
    size = client.health().size
    heard = []

    def listen():
        started = time.monotonic()
        news = client.news(size, 0, 20)
        heard.append((time.monotonic(), started, news))

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(0.3)
    assert not heard
    running.client(NAMES[1]).submit(entry(running))
    submitted = time.monotonic()
    listener.join(5)
    answered, _, news = heard[0]
    assert len(news.entries) == 1
    assert answered - submitted < 0.5


def test_a_long_poll_without_news_ends_after_its_time_with_no_entries(client):
    size = client.health().size
    started = time.monotonic()
    news = client.news(size, size, 0.4)
    assert 0.35 <= time.monotonic() - started < 3
    assert news.entries == ()
    assert news.witnessed is None


def test_many_wait_for_one_entry_and_all_hear_it(running, client):
    size = client.health().size
    heard = []
    listeners = [threading.Thread(target=lambda: heard.append(running.client().news(size, 0, 20))) for _ in range(20)]
    for listener in listeners:
        listener.start()
    time.sleep(0.3)
    client.submit(entry(running))
    for listener in listeners:
        listener.join(5)
    assert [len(news.entries) for news in heard] == [1] * 20


def test_a_quorum_of_cosignatures_is_news(running, client):
    client.submit(entry(running))
    size = running.cosign_head(NAMES[:2])
    known = client.health().witnessed
    assert known < size
    heard = []
    listener = threading.Thread(target=lambda: heard.append(client.news(size, known, 20)))
    listener.start()
    time.sleep(0.2)
    assert not heard
    running.cosign_head(NAMES[2:3])
    listener.join(5)
    note = parse_note(heard[0].witnessed)
    assert open_checkpoint(note, running.log_key).size == size
    assert len(note.signatures) == 4
    assert client.health().witnessed == size
    assert client.news(size - 1, size, 0).witnessed is None


def test_a_cosignature_of_another_member_or_head_is_unverified(running, client):
    client.submit(entry(running))
    head = running.parts.sequencer.head()
    body = parse_note(head.note).text
    forged = cosign(body, NAMES[1], running.roll.rings[NAMES[0]].signer(Role.WITNESS), int(time.time()))
    assert witness_key(ORIGIN, NAMES[1], b"\0" * 32).name in forged
    with pytest.raises(Unverified):
        client.cosign(NAMES[1], forged, head.size)
    with pytest.raises(Conflict, match="head"):
        client.cosign(NAMES[1], forged, head.size + 1000)


def test_catching_up_takes_bounded_replies(running, client):
    size = client.health().size
    sent = [entry(running, text="x" * 45_000) for _ in range(80)]
    for one in sent:
        client.submit(one)
    got, replies = [], 0
    while len(got) < len(sent):
        news = client.news(size + len(got), 0, 0)
        assert sum(len(one) for one in news.entries) <= 4 * 2**20
        got += news.entries
        replies += 1
    assert got == sent
    assert replies == 2


def test_asking_beyond_the_log_is_a_conflict(client):
    with pytest.raises(Conflict, match="another log"):
        client.news(10**6, 0, 0)


def test_an_entry_that_the_center_does_not_admit_is_refused_with_the_article(client, tmp_path):
    stranger = Keyring.create(tmp_path / "stranger", [Role.ZONE]).signer(Role.ZONE)
    with pytest.raises(Refused, match="no member") as caught:
        client.submit(sign_statement("note", {}, {}, stranger))
    assert caught.value.article == "admission 1"
    with pytest.raises(Malformed, match="canonical JSON"):
        client.submit(b"{")


def test_checkpoint_and_tiles_are_public_and_safe_from_path_tricks(running, client):
    client.submit(entry(running))
    status, headers, note = ask(running, "GET", "/checkpoint", signed=False)
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    size = open_checkpoint(parse_note(note.decode()), running.log_key).size
    status, headers, _ = ask(running, "GET", f"/tile/0/000.p/{size}" if size < 256 else "/tile/0/000", signed=False)
    assert status == 200
    assert "immutable" in headers["cache-control"]
    for path in ("/tile/../checkpoint", "/tile/%2e%2e/log.sqlite", "/tile/0/../../../keys/operator.pem", "/tile/0/00"):
        problem(ask(running, "GET", path, signed=False), 400, "tile-path")
    problem(ask(running, "GET", "/tile/5/999", signed=False), 404, "file-missing")


# --- blobs


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_001])
def test_a_blob_goes_there_and_back(client, tmp_path, size):
    data = os.urandom(size)
    digest = digest_of(data)
    assert not client.has_blob(digest) or size == 0
    client.put_blob(digest, data)
    assert client.has_blob(digest)
    client.get_blob(digest, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["got"]


def test_a_file_is_sent_again_and_parts_of_it_are_read(client, tmp_path):
    data = os.urandom(2_500_000)
    (tmp_path / "source").write_bytes(data)
    digest = digest_of(data)
    for _ in range(2):
        client.put_blob(digest, tmp_path / "source")
    for offset, length in [(0, 10), (1_000_000, 1_200_000), (2_499_999, 50), (2_500_000, 5), (9**9, 5), (5, 0)]:
        assert client.read_blob(digest, offset, length) == data[offset : offset + length]
    with pytest.raises(Malformed, match="at least 0"):
        client.read_blob(digest, -1, 5)


def test_a_blob_that_is_not_there_is_missing(client, tmp_path):
    nothing = digest_of(b"never sent")
    with pytest.raises(Missing, match=nothing):
        client.get_blob(nothing, tmp_path / "got")
    with pytest.raises(Missing, match=nothing):
        client.read_blob(nothing, 0, 10)
    assert list(tmp_path.iterdir()) == []


def test_a_blob_with_another_digest_is_not_kept(running, client):
    wrong = digest_of(b"something else")
    with pytest.raises(Unverified, match="send the whole blob again"):
        client.put_blob(wrong, os.urandom(3_000_000))
    assert not client.has_blob(wrong)
    assert list((running.parts.settings.blobs / "incoming").iterdir()) == []


def test_a_bent_blob_is_not_taken_for_the_real_one(running, client, tmp_path):
    data = os.urandom(1000)
    client.put_blob(digest_of(data), data)
    running.parts.blobs.path(digest_of(data)).write_bytes(data[:-1] + b"?")
    with pytest.raises(Unverified, match="ask another holder"):
        client.get_blob(digest_of(data), tmp_path / "got")
    assert list(tmp_path.iterdir()) == []


def test_too_large_a_blob_is_refused_whether_or_not_its_length_is_said(running, client, tmp_path):
    data = os.urandom(MAX_BLOB_BYTES + 1)
    (tmp_path / "large").write_bytes(data)
    for source in (data, tmp_path / "large"):
        with pytest.raises(Refused, match="raise max_blob_bytes"):
            client.put_blob(digest_of(data), source)
    path = f"/blobs/{digest_of(data)}"
    chunks = iter([data[:2_000_000], data[2_000_000:]])
    answer = ask(running, "PUT", path, body=chunks, headers={"transfer-encoding": "chunked"})
    problem(answer, 413, "blob-too-large")
    assert list((running.parts.settings.blobs / "incoming").iterdir()) == []


def test_a_body_cut_off_leaves_nothing_behind_and_the_center_well(running, client):
    path = f"/blobs/{digest_of(b'whole')}"
    head = RequestHead(method="PUT", path=path, query="", headers={})
    signed = sign_request(head, running.roll.signers[NAMES[0]], created=int(time.time()), nonce=secrets.token_hex(16))
    lines = [f"PUT {path} HTTP/1.1", "host: x", "content-length: 3000000", *(f"{k}: {v}" for k, v in signed.items())]
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + b"x" * 1_500_000)
        incoming = running.parts.settings.blobs / "incoming"
        until(lambda: list(incoming.iterdir()))
    until(lambda: not list(incoming.iterdir()))
    assert client.health().origin == ORIGIN


def test_four_members_upload_at_once(running, tmp_path):
    blobs = [os.urandom(MAX_BLOB_BYTES) for _ in NAMES]

    def upload(name, data):
        running.client(name).put_blob(digest_of(data), data)

    threads = [threading.Thread(target=upload, args=pair) for pair in zip(NAMES, blobs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for data in blobs:
        running.client().get_blob(digest_of(data), tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == data


# --- who asks, and how


def test_nothing_but_public_paths_is_answered_unsigned(running):
    for method, path in [("GET", "/news"), ("POST", "/entries"), ("GET", "/blobs/" + "0" * 64), ("GET", "/nothing")]:
        answer = ask(running, method, path, body=b"" if method == "POST" else None, signed=False)
        assert "sign it" in problem(answer, 401, "request-unsigned")
        assert answer[1]["www-authenticate"] == "Signature"
    assert ask(running, "GET", "/health", signed=False)[0] == 200


def test_a_key_of_no_member_is_unverified(running, tmp_path):
    stranger = Keyring.create(tmp_path / "keys", [Role.ZONE]).signer(Role.ZONE)
    with pytest.raises(Unverified, match="belongs to no member"):
        HttpCenter(running.url, stranger, MemberId("nobody")).news(0, 0, 0)


def signed_headers(running, path, query="", body=None, created=None):
    headers = {} if body is None else {"content-digest": content_digest(body)}
    head = RequestHead(method="GET" if body is None else "POST", path=path, query=query, headers=headers)
    created = int(time.time()) if created is None else created
    return headers | sign_request(head, running.roll.signers[NAMES[0]], created=created, nonce=secrets.token_hex(16))


def test_a_replayed_request_is_refused(running):
    headers = signed_headers(running, "/news", "size=0")
    assert send(running, "GET", "/news?size=0", None, headers)[0] == 200
    assert "before" in problem(send(running, "GET", "/news?size=0", None, headers), 401, "request-replayed")


@pytest.mark.parametrize("off_s", [-600, 600])
def test_a_request_signed_at_another_time_is_refused(running, off_s):
    headers = signed_headers(running, "/news", "size=0", created=int(time.time()) + off_s)
    assert "clock" in problem(send(running, "GET", "/news?size=0", None, headers), 401, "request-expired")


def test_a_signature_holds_for_its_method_path_query_and_body_only(running):
    headers = signed_headers(running, "/news", "size=0")
    problem(send(running, "GET", "/news?size=1", None, headers), 422, "signature")
    problem(send(running, "GET", "/newz?size=0", None, headers), 422, "signature")
    problem(send(running, "DELETE", "/news?size=0", None, headers), 401, "request-component")
    headers = signed_headers(running, "/entries", body=b"{}")
    problem(send(running, "POST", "/entries", b"[]", headers), 401, "request-digest")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"member":1}', b'{"member":"a","line":"b","size":1.5}', b"\xff"])
def test_a_body_that_is_not_the_expected_json_is_malformed(running, body):
    problem(ask(running, "POST", "/cosignatures", body=body), 400, "request-form")


@pytest.mark.parametrize("query", ["", "size=-1", "size=x", "size=1e3", "size=0&wait_ms=99999999", "size=" + "9" * 30])
def test_a_query_that_makes_no_sense_is_malformed(running, query):
    problem(ask(running, "GET", "/news", query), 400, "request-form")


def test_too_large_a_body_or_header_is_refused(running):
    problem(ask(running, "POST", "/entries", body=b"x" * 70_000), 413, "body-too-large")
    problem(ask(running, "GET", "/news", "size=0", headers={"x-long": "x" * 20_000}), 431, "headers-too-large")


def test_whoever_announces_a_body_and_sends_none_is_soon_answered(running):
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_routes_and_methods_that_do_not_exist_are_named(running):
    assert "/nothing" in problem(ask(running, "GET", "/nothing"), 404, "route-missing")
    problem(ask(running, "POST", "/checkpoint", body=b""), 405, "method-not-allowed")
    problem(ask(running, "GET", "/blobs/xyz"), 400, "digest-form")


def test_garbage_on_the_socket_does_not_hurt(running, client):
    parts = urlsplit(running.url)
    for garbage in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"PUT / HTTP/1.1\r\ncontent-length: -5\r\n\r\n"):
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(garbage)
            connection.recv(1000)
    assert client.health().origin == ORIGIN


# --- beginnings and ends


def test_a_silent_address_is_named_with_what_to_check(running):
    port = claim_port("127.0.0.1", 0)
    client = HttpCenter(
        f"http://127.0.0.1:{port}", running.roll.signers[NAMES[0]], NAMES[0], Dialing(backoff_s=(0.01,))
    )
    with pytest.raises(Unavailable, match=f"no center answers at http://127.0.0.1:{port} .*is it running"):
        client.health()


def test_a_port_in_use_is_misconfigured(running):
    with pytest.raises(Misconfigured, match="set another port") as caught:
        claim_port("127.0.0.1", urlsplit(running.url).port)
    assert caught.value.code == "port-in-use"


def test_a_server_that_is_no_center_is_told_apart(running):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>")

        thread = threading.Thread(target=answer)
        thread.start()
        client = HttpCenter(f"http://127.0.0.1:{server.getsockname()[1]}", running.roll.signers[NAMES[0]], NAMES[0])
        with pytest.raises(Misconfigured, match="check the center's URL"):
            client.health()
        thread.join()


def test_stopping_sends_long_polls_home_and_a_restart_has_the_whole_log(tmp_path):
    center = RunningCenter(tmp_path)
    client = center.client()
    index = client.submit(entry(center))
    heard = []
    listener = threading.Thread(target=lambda: heard.append(client.news(index + 1, 0, 25)))
    listener.start()
    idle = urllib3.HTTPConnectionPool(*urlsplit(center.url).netloc.split(":"))
    assert idle.request("GET", "/health").status == 200
    time.sleep(0.2)
    started = time.monotonic()
    center.stop()
    listener.join(5)
    assert time.monotonic() - started < 5
    assert heard[0].entries == ()
    again = build(center.parts.settings, center.roll)
    assert again.sequencer.head().size == index + 1
    again.close()
    client.close()
    idle.close()
