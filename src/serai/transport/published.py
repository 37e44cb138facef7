"""Published files of a log by path, from a center or from a member that shows its mirror."""

import time
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from serai.errors import Missing, Unavailable

MAX_FILE_BYTES: Final = 20 * 2**20  # an entry bundle of 256 entries of 64 KiB, and some room
TIMEOUT_S: Final = 30.0


class PublicFiles:
    """The published files of a center, by path.

    Args:
        url: where the center answers.
        timeout_s: without a byte for so long, nobody answers; a whole answer to ``send`` takes no longer either.

    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout_s)

    def send(self, path: str, body: bytes, most_bytes: int) -> tuple[int, bytes]:
        """Status and body of the answer to a POST, at most so many bytes of it.

        Raises:
            Unavailable: nobody answers, or too slowly.

        """
        address = f"{self._url}/{path}"
        try:
            answer = self._pool.request("POST", address, body=body, preload_content=False)
            data, until_s = bytearray(), time.monotonic() + self._timeout_s
            while len(data) < most_bytes and (part := answer.read1(most_bytes - len(data))):
                data += part
                if time.monotonic() > until_s:  # or one byte now and then would hold the caller for ever
                    answer.close()
                    raise Unavailable("peer-slow", f"the answer of {address} takes longer than {self._timeout_s:g} s")
            answer.release_conn()
        except HTTPError as error:
            raise Unavailable(
                "peer-unreachable", f"nobody answers at {address}; is that zone's agent running?"
            ) from error
        return answer.status, bytes(data)

    def read(self, path: str) -> bytes:
        """The bytes of a published file.

        Raises:
            Missing: there is no such file.
            Unavailable: nobody answers, or with another failure.

        """
        address = f"{self._url}/{path}"
        try:
            answer = self._pool.request("GET", address, preload_content=False)
            data = answer.read(MAX_FILE_BYTES)
            answer.release_conn()
        except HTTPError as error:
            raise Unavailable(
                "center-unreachable", f"no center answers at {address}: is it running, and is this the right address?"
            ) from error
        if answer.status == 404:
            raise Missing("file-missing", f"the center publishes no {path}")
        if answer.status != 200:
            raise Unavailable("center-failing", f"the center answers {answer.status} for {address}; try again later")
        return data
