"""What travels to a signer on no network is a text; only its payload is believed."""

import pytest

from serai.errors import Malformed, Missing
from serai.kernel.envelope import MAX_ENTRY_BYTES, read_payload, sign_payload, write_payload
from serai.kernel.extras import ExtraSignature
from serai.kernel.keys import Role, Suite, key_id
from serai.storage.keyring import Keyring
from serai.storage.request_files import MAX_REQUEST_BYTES, read_request, write_request


@pytest.fixture
def signer(tmp_path):
    return Keyring.create(tmp_path / "keys", [Role.ROOT], Suite.HYBRID).signer(Role.ROOT)


@pytest.fixture
def envelope(signer):
    return read_payload(write_payload("member.withdraw", {"reason": "we go"}, {}, key_id(signer.public), b"12345678"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.request"


def test_a_request_comes_back_as_it_was_unsigned_and_signed(envelope, signer, path):
    write_request(path, envelope, ["bern leaves"])
    assert read_request(path) == envelope
    signed = sign_payload(envelope.payload, signer).with_extra(ExtraSignature("gost:key", b"\x01\x02"))
    write_request(path, signed, ["bern leaves", ""])
    assert read_request(path) == signed
    read_request(path).verify(signer.public)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("serai-request-v1\n# bern leaves\n#\npayload {")
    assert [line.split(" ")[0] for line in text.split("\n")[4:]] == ["signature", "signature", "extra", ""]


def test_remarks_are_for_people_and_change_nothing(envelope, path):
    write_request(path, envelope, ["payload {}", "signature eA=="])
    path.write_text(
        path.read_text(encoding="utf-8").replace("# payload", "#payload\n\n# this is harmless"), encoding="utf-8"
    )
    assert read_request(path) == envelope


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("serai-request-v1", "serai-request-v2"),
        lambda text: text.replace("payload {", "payload  {"),
        lambda text: text.replace("payload {", "Payload {"),
        lambda text: text + text.split("\n")[2] + "\n",
        lambda _: "serai-request-v1\n",
        lambda text: text + "signature not base64\n",
        lambda text: text + "signature eA==\n" * 3,
        lambda text: text + "extra toy:key eA==\n" * 2,
        lambda text: text + "".join(f"extra toy:{number} eA==\n" for number in range(5)),
        lambda text: text + "extra toy eA==\n",
        lambda text: text + "run rm\n",
        lambda text: text + "#" * MAX_REQUEST_BYTES,
        lambda text: text.replace("we go", "we g\\u006f"),
        lambda text: text.replace("we go", "x" * MAX_ENTRY_BYTES),
    ],
    ids=lambda _: "",
)
def test_a_file_of_another_form_is_refused_and_named(envelope, path, change):
    write_request(path, envelope, ["bern leaves"])
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(Malformed, match=r"a\.request"):
        read_request(path)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_named(path):
    with pytest.raises(Missing, match=r"a\.request"):
        read_request(path)
    path.write_bytes(b"serai-request-v1\n\xff")
    with pytest.raises(Malformed, match="UTF-8"):
        read_request(path)
