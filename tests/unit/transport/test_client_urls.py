import pytest

from serai.errors import Misconfigured
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role
from serai.storage.keyring import Keyring
from serai.transport.client import HttpCenter


@pytest.mark.parametrize(
    "url", ["", "localhost:8787", "ftp://center", "http://", "http://center/serai", "http://center?x=1", "http://:80"]
)
def test_an_address_of_another_form_is_misconfigured(tmp_path, url):
    signer = Keyring.create(tmp_path / "keys", [Role.ZONE]).signer(Role.ZONE)
    with pytest.raises(Misconfigured, match="expected http://host:port"):
        HttpCenter(url, signer, MemberId("bern"))


@pytest.mark.parametrize("url", ["http://center:8787", "https://center.example/", "http://[::1]:8787"])
def test_host_port_and_scheme_are_enough(tmp_path, url):
    signer = Keyring.create(tmp_path / "keys", [Role.ZONE]).signer(Role.ZONE)
    HttpCenter(url, signer, MemberId("bern")).close()
