"""What holds for every test: Hypothesis counts examples, not milliseconds, for a machine may be busy; and one server.

The server is PostgreSQL, run by nobody in a folder of its own for as long as
the tests last, and reached by a socket there.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("serai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("serai")

PASSWORD = "swordfish-and-chips"
SERVICE = """\
[clinic]
host={folder}
user=steward
dbname=postgres
password={password}
"""


def find_binaries():
    """Debian keeps them out of the path."""
    folders = [Path(found).parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres():
    """A folder with a socket and a private service file; ``sql`` runs statements as the database's owner."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    psycopg = pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="serai-pg-", dir="/tmp"))
    as_nobody = {"user": "nobody"} if os.getuid() == 0 else {}
    try:
        (folder / "password").write_text(PASSWORD)
        if as_nobody:
            shutil.chown(folder, "nobody")
        initdb = [binaries / "initdb", "-D", folder / "data", "-U", "steward", "--auth=scram-sha-256", "--no-sync"]
        made = subprocess.run([*initdb, f"--pwfile={folder}/password"], capture_output=True, check=False, **as_nobody)
        if made.returncode:
            pytest.skip(f"PostgreSQL cannot make a database here: {made.stderr.decode()[-300:]}")
        server = subprocess.Popen(
            [binaries / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_nobody,
        )
        try:
            yield _ready(psycopg, folder, server)
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _ready(psycopg, folder, server):
    service = folder / "pg_service.conf"
    service.touch(0o600)
    service.write_text(SERVICE.format(folder=folder, password=PASSWORD))
    for _ in range(100):
        try:
            with psycopg.connect(host=str(folder), user="steward", dbname="postgres", password=PASSWORD):
                return service
        except psycopg.OperationalError:
            assert server.poll() is None, "the server has ended"
            time.sleep(0.1)
    raise AssertionError("the server does not answer")
