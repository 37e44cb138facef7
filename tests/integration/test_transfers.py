"""Long blobs over real sockets that break: cut connections, killed centers, several flows, and pieces sent wrongly."""

import contextlib
import http.client
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from serai.errors import Unavailable, Unverified
from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role
from serai.storage.keyring import Keyring
from serai.storage.partials import GRID_BYTES
from serai.transport.client import HttpCenter
from serai.transport.connection import Dialing
from serai.transport.signatures import RequestHead, sign_request
from serai.transport.transfers import PIECE_BYTES

PROGRAM = """
import sys
from pathlib import Path
from serai.center.app import run
from serai.center.settings import read_settings
from serai.kernel.keys import Role, key_id
from serai.ledger.policy import Witnesses
from serai.storage.keyring import Keyring

folder = Path(sys.argv[1])
keys = [Keyring(folder / name).signer(Role.ZONE).public for name in ("bern", "lima")]

class TwoMembers:
    def admit(self, envelope):
        pass
    def witnesses(self):
        return Witnesses({})
    def find_key(self, key):
        return next((public for public in keys if key_id(public) == key), None)

run(read_settings(folder), TwoMembers(), lambda parts: [])
"""

PATIENT = (0.01,) * 40  # waits between attempts
SIZE = 3 * PIECE_BYTES + GRID_BYTES + 4321


class Center:
    """A center in a process of its own that may be killed and started again at the same address."""

    def __init__(self, folder):
        self.folder = folder
        Keyring.create(folder / "keys", [Role.OPERATOR])
        self.signers = {name: Keyring.create(folder / name, [Role.ZONE]).signer(Role.ZONE) for name in ("bern", "lima")}
        self.port = 0
        self.start()

    def start(self):
        (self.folder / "center.toml").write_text(f'origin = "center.test/log"\nport = {self.port}\n')
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.folder)], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        assert line.startswith("ready ")
        self.url = line.removeprefix("ready ").strip()
        self.port = urlsplit(self.url).port

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(30)
        self.process.stdout.close()

    def client(self, member="bern", url=None, **dialing):
        return HttpCenter(url or self.url, self.signers[member], MemberId(member), Dialing(**dialing))

    def ask(self, method, path, body=None, member="bern", **headers):
        """One request by hand; its status and what the problem document says."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        head = RequestHead(method=method, path=path, query="", headers=headers)
        signed = sign_request(head, self.signers[member], created=int(time.time()), nonce=secrets.token_hex(16))
        return self.send(method, path, body, headers | signed)

    def send(self, method, path, body, headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None

    def missing(self, digest, member="bern"):
        status, said = self.ask("GET", f"/uploads/{digest}", member=member)
        return said["missing"] if status == 200 else said["code"]

    def leftovers(self):
        return [path for path in (self.folder / "partials").rglob("*") if path.is_file()]


class Cutter:
    """A line to the center that breaks: each connection after so many bytes as ``limits`` says next.

    Attributes:
        up: bytes that were let through towards the center.
        down: the other way.

    """

    def __init__(self, port, limits):
        self._port = port
        self._limits = limits
        self.up = self.down = self.cuts = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends = [self._server]
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._ends.append(near)
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    near.shutdown(socket.SHUT_RDWR)
                    continue
                self._ends.append(far)
                left = [next(self._limits, 2**40)]
                for names in ((near, far, "up"), (far, near, "down")):
                    self._threads.append(threading.Thread(target=self._pump, args=(*names, left)))
                    self._threads[-1].start()

    def _pump(self, source, target, way, left):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                part = data[: left[0]]
                left[0] -= len(part)
                target.sendall(part)
                setattr(self, way, getattr(self, way) + len(part))
                if left[0] <= 0:
                    self.cuts += 1
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def center(tmp_path_factory):
    center = Center(tmp_path_factory.mktemp("center"))
    yield center
    center.end()


def cut(center, seed, most):
    """A line that breaks ten times, each time after up to ``most`` bytes."""
    chance = random.Random(seed)
    return Cutter(center.port, iter([chance.randrange(1, most) for _ in range(10)]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("flows", [1, 3])
def test_a_blob_comes_through_a_line_that_breaks_anywhere(center, tmp_path, seed, flows):
    data = os.urandom(SIZE)
    line = cut(center, seed, SIZE // 2)
    with contextlib.closing(center.client(url=line.url, backoff_s=PATIENT, flows=flows)) as bern:
        bern.put_blob(digest_of(data), data)
    assert line.cuts
    assert center.leftovers() == []
    line.close()
    line = cut(center, seed + 100, SIZE // 2)
    with contextlib.closing(center.client(url=line.url, backoff_s=PATIENT, flows=flows)) as bern:
        bern.get_blob(digest_of(data), tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == data
        got = list(bern.stream_blob(digest_of(data), 1_000_000))
    assert b"".join(got) == data
    assert {len(piece) for piece in got[:-1]} == {1_000_000}
    assert line.cuts
    line.close()


def test_a_download_goes_on_where_it_broke(center):
    data = os.urandom(SIZE)
    center.client().put_blob(digest_of(data), data)
    line = Cutter(center.port, iter([SIZE - 2_000_000]))
    with contextlib.closing(center.client(url=line.url)) as bern:
        assert b"".join(bern.stream_blob(digest_of(data), GRID_BYTES)) == data
    assert line.down < SIZE + 2 * GRID_BYTES
    line.close()


def test_a_broken_connection_costs_one_piece_and_no_more(center):
    data = os.urandom(SIZE)
    line = Cutter(center.port, iter([SIZE - 2_000_000]))
    with contextlib.closing(center.client(url=line.url)) as bern:
        bern.put_blob(digest_of(data), data)
    assert line.up < SIZE + PIECE_BYTES + 100_000
    line.close()


def test_a_member_that_died_sends_only_the_rest(center, tmp_path):
    data = os.urandom(SIZE)
    (tmp_path / "blob").write_bytes(data)
    line = Cutter(center.port, iter([2 * PIECE_BYTES + 500_000]))
    first = center.client(url=line.url, backoff_s=())
    with pytest.raises(Unavailable):
        first.put_blob(digest_of(data), tmp_path / "blob")
    assert center.missing(digest_of(data)) == [[2 * PIECE_BYTES, SIZE - 2 * PIECE_BYTES]]
    line.close()
    line = Cutter(center.port, iter([]))
    with contextlib.closing(center.client(url=line.url)) as again:
        again.put_blob(digest_of(data), tmp_path / "blob")
        assert line.up < SIZE - 2 * PIECE_BYTES + 100_000
        before = line.up
        again.put_blob(digest_of(data), tmp_path / "blob")
        assert line.up < before + 10_000, "what is there whole is not sent again"
        assert again.read_blob(digest_of(data), SIZE - 10, 100) == data[-10:]
    line.close()


def test_a_center_that_was_killed_goes_on_with_what_it_had(tmp_path):
    center = Center(tmp_path)
    data = os.urandom(SIZE)
    line = Cutter(center.port, iter([]))
    failed = threading.Event()

    def put():
        with pytest.raises(Unavailable):
            center.client(url=line.url, backoff_s=()).put_blob(digest_of(data), data)
        failed.set()

    thread = threading.Thread(target=put)
    thread.start()
    while line.up < PIECE_BYTES + 200_000:
        time.sleep(0.001)
    center.end(signal.SIGKILL)
    thread.join()
    assert failed.is_set()
    center.start()
    missing = center.missing(digest_of(data))
    assert missing[0][0] >= PIECE_BYTES, "the first piece is kept"
    sent = line.up
    bern = center.client(url=line.url)
    bern.put_blob(digest_of(data), data)
    assert line.up - sent < SIZE - PIECE_BYTES + 100_000
    bern.get_blob(digest_of(data), tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == data
    assert center.leftovers() == []
    line.close()
    bern.close()
    center.end()


def piece(center, data, first, last, total=SIZE):
    span = f"bytes {first}-{last}/{total}"
    status, said = center.ask("PUT", f"/blobs/{digest_of(b'some blob')}", data, content_range=span)
    return status, said and said["code"]


def test_pieces_sent_wrongly_are_refused_and_count_for_nothing(center):
    whole = b"x" * PIECE_BYTES
    assert piece(center, whole, 0, PIECE_BYTES - 1) == (202, None)
    for first, length in [(1, 100), (0, 100), (GRID_BYTES, GRID_BYTES + 1), (SIZE, 1), (0, PIECE_BYTES + GRID_BYTES)]:
        assert piece(center, b"x" * length, first, first + length - 1) == (400, "piece-range"), (first, length)
    assert piece(center, whole, 5, 4) == (400, "piece-range")
    assert piece(center, whole[1:], PIECE_BYTES, 2 * PIECE_BYTES - 1) == (400, "piece-length")
    assert piece(center, whole + b"x", PIECE_BYTES, 2 * PIECE_BYTES - 1) == (400, "piece-length")
    assert piece(center, whole, 0, PIECE_BYTES - 1, SIZE + 1) == (409, "upload-size")
    assert piece(center, whole, 0, PIECE_BYTES - 1, 2**45) == (413, "blob-too-large")
    assert center.missing(digest_of(b"some blob")) == [[PIECE_BYTES, SIZE - PIECE_BYTES]]


@pytest.mark.parametrize(
    "given", ["", "bytes", "bytes 0-1", "bytes */5", "bytes 0-9/*", "bytes -5-9/20", "items 0-1/2"]
)
def test_a_range_of_another_form_is_malformed(center, given):
    status, said = center.ask("PUT", f"/blobs/{digest_of(b'another')}", b"x", content_range=given)
    assert (status, said["code"]) == (400, "piece-range")


def test_a_range_that_the_signature_does_not_cover_is_not_believed(center):
    path = f"/blobs/{digest_of(b'signed')}"
    head = RequestHead(method="PUT", path=path, query="", headers={})
    signed = sign_request(head, center.signers["bern"], created=int(time.time()), nonce=secrets.token_hex(16))
    status, said = center.send("PUT", path, b"x", signed | {"content-range": "bytes 0-0/1"})
    assert (status, said["code"]) == (401, "request-component")


def test_nobody_continues_or_sees_the_upload_of_another(center):
    data = os.urandom(SIZE)
    digest, path = digest_of(data), f"/blobs/{digest_of(data)}"
    span = {"content_range": f"bytes 0-{PIECE_BYTES - 1}/{SIZE}"}
    assert center.ask("PUT", path, data[:PIECE_BYTES], "bern", **span)[0] == 202
    assert center.missing(digest, "lima") == "upload-missing"
    assert center.ask("PUT", path, b"x" * PIECE_BYTES, "lima", **span)[0] == 202  # bends only its own
    with contextlib.closing(center.client("bern")) as bern:
        bern.put_blob(digest, data)
        assert bern.read_blob(digest, 0, 100) == data[:100]


def test_pieces_of_another_digest_are_all_forgotten(center):
    data = os.urandom(SIZE)
    wrong = digest_of(b"something else")
    with contextlib.closing(center.client()) as bern:
        with pytest.raises(Unverified, match="send the whole blob again"):
            bern.put_blob(wrong, data)
        assert not bern.has_blob(wrong)
        assert center.missing(wrong) == "upload-missing"


def test_a_blob_that_a_loss_of_power_bent_is_sent_again(center):
    data = os.urandom(SIZE)
    digest = digest_of(data)
    with contextlib.closing(center.client()) as bern:
        bern.put_blob(digest, data)
        (center.folder / "blobs" / digest[:2] / digest).write_bytes(
            data[:-1] + b"?" if data[-1:] != b"?" else data[:-1] + b"!"
        )
        bern.put_blob(digest, data)
        assert bern.read_blob(digest, SIZE - 10, 10) == data[-10:]


def test_two_members_send_one_blob_at_once(center):
    data = os.urandom(SIZE)
    threads = [
        threading.Thread(target=center.client(name, flows=2).put_blob, args=(digest_of(data), data))
        for name in ("bern", "lima")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with contextlib.closing(center.client("lima")) as lima:
        assert b"".join(lima.stream_blob(digest_of(data), PIECE_BYTES)) == data


def test_the_link_is_measured_by_what_passes_anyway(center):
    data = os.urandom(SIZE)
    with contextlib.closing(center.client()) as bern:
        assert bern.link() is None
        bern.health()
        assert (bern.link().up_bytes_s, bern.link().down_bytes_s) == (None, None)
        bern.put_blob(digest_of(b"short"), b"short")
        assert bern.link().up_bytes_s is None, "too short to tell"
        started = time.perf_counter()
        bern.put_blob(digest_of(data), data)
        took_s = time.perf_counter() - started
        list(bern.stream_blob(digest_of(data), PIECE_BYTES))
        link = bern.link()
        assert SIZE / took_s * 0.9 < link.up_bytes_s < 1e11
        assert 1e5 < link.down_bytes_s < 1e11
        assert 0 < link.rtt_s < took_s
