"""The center as a process of its own: how it starts, ends, is killed, and what memory it takes."""

import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role
from serai.storage.keyring import Keyring
from serai.transport.client import HttpCenter
from serai.transport.signatures import RequestHead, sign_request

PROGRAM = """
import sys
from pathlib import Path
from serai.center.app import run
from serai.center.settings import read_settings
from serai.kernel.keys import Role, key_id
from serai.ledger.policy import Witnesses
from serai.storage.keyring import Keyring

folder = Path(sys.argv[1])
member = Keyring(folder / "member").signer(Role.ZONE).public

class OneMember:
    def admit(self, envelope):
        envelope.verify(member)
    def witnesses(self):
        return Witnesses({})
    def find_key(self, key):
        return member if key == key_id(member) else None

class Part:
    def __init__(self, name):
        self.name = name
    def start(self):
        print("start", self.name, flush=True)
    def stop(self):
        print("stop", self.name, flush=True)

run(read_settings(folder), OneMember(), lambda parts: [Part("one"), Part("two")])
"""


class Process:
    def __init__(self, folder):
        self.folder = folder
        if not (folder / "keys").exists():
            Keyring.create(folder / "keys", [Role.OPERATOR])
            Keyring.create(folder / "member", [Role.ZONE])
            (folder / "center.toml").write_text('origin = "center.test/log"\nport = 0\n')
        self.signer = Keyring(folder / "member").signer(Role.ZONE)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines = []
        while not self.lines or not self.lines[-1].startswith("ready"):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            self.lines.append(line.strip())
        self.url = self.lines[-1].removeprefix("ready ")

    def client(self):
        return HttpCenter(self.url, self.signer, MemberId("bern"))

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out.split("\n"), err

    def begin_upload(self, digest, size_bytes, data):
        """Send the head and the first bytes of a blob; the open connection."""
        path = f"/blobs/{digest}"
        head = RequestHead(method="PUT", path=path, query="", headers={})
        signed = sign_request(head, self.signer, created=int(time.time()), nonce=secrets.token_hex(16))
        fields = [f"PUT {path} HTTP/1.1", "host: x", f"content-length: {size_bytes}"]
        parts = urlsplit(self.url)
        connection = socket.create_connection((parts.hostname, parts.port))
        connection.sendall("\r\n".join([*fields, *(f"{k}: {v}" for k, v in signed.items()), "", ""]).encode() + data)
        incoming = self.folder / "blobs" / "incoming"
        deadline = time.monotonic() + 5
        while not any(file.stat().st_size for file in incoming.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_quietly(tmp_path, number):
    center = Process(tmp_path)
    assert center.lines[:2] == ["start one", "start two"]
    client = center.client()
    assert client.health().size == 0
    status, out, err = center.end(number)
    assert status == 0
    assert out == ["stop two", "stop one", ""]
    assert err == ""
    client.close()


def test_a_second_center_on_its_port_says_what_to_do_and_stops_nothing(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = Process(tmp_path / "one")
    Keyring.create(tmp_path / "two" / "keys", [Role.OPERATOR])
    Keyring.create(tmp_path / "two" / "member", [Role.ZONE])
    port = urlsplit(first.url).port
    (tmp_path / "two" / "center.toml").write_text(f'origin = "center.test/log"\nport = {port}\n')
    second = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "two")], capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 1
    assert f"another program listens at 127.0.0.1 port {port}; stop it, or set another port" in second.stderr
    assert "ready" not in second.stdout
    assert first.client().health().size == 0
    assert first.end(signal.SIGTERM)[0] == 0


def test_killed_in_the_middle_of_an_upload_it_starts_again_without_the_torso(tmp_path):
    data = os.urandom(3_000_000)
    center = Process(tmp_path)
    center.client().put_blob(digest_of(b"kept"), b"kept")
    connection = center.begin_upload(digest_of(data), len(data), data[:2_000_000])
    assert center.end(signal.SIGKILL)[0] == -signal.SIGKILL
    connection.close()
    again = Process(tmp_path)
    client = again.client()
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []
    assert client.has_blob(digest_of(b"kept"))
    assert not client.has_blob(digest_of(data))
    client.put_blob(digest_of(data), data)
    assert client.read_blob(digest_of(data), 2_999_990, 10) == data[-10:]
    assert again.end(signal.SIGTERM)[0] == 0


@pytest.mark.slow
def test_an_upload_that_stands_still_does_not_keep_it_from_ending(tmp_path):
    data = os.urandom(3_000_000)
    center = Process(tmp_path)
    connection = center.begin_upload(digest_of(data), len(data), data[:2_000_000])
    started = time.monotonic()
    status, out, err = center.end(signal.SIGTERM)
    assert time.monotonic() - started < 20
    assert (status, out) == (0, ["stop two", "stop one", ""])
    assert "cut off" in err
    connection.close()


@pytest.mark.slow
def test_memory_stays_flat_while_large_blobs_come_and_go(tmp_path):
    block, count = os.urandom(2**20), 200
    (tmp_path / "large").write_bytes(block * count)
    digest = Digest(hashlib.sha256(block * count).hexdigest())
    center = Process(tmp_path)
    client = center.client()
    before = peak_bytes(center.process.pid)
    client.put_blob(digest, tmp_path / "large")
    client.get_blob(digest, tmp_path / "back")
    assert (tmp_path / "back").stat().st_size == count * 2**20
    assert peak_bytes(center.process.pid) - before < 40 * 2**20
    assert center.end(signal.SIGTERM)[0] == 0


def peak_bytes(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
