"""Check a release from outside: a model file, a folder with the log, a digest from paper, and nothing else."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from serai.analytics.state import evaluations_of
from serai.charter.constitution import genesis_of
from serai.hub.statements import Release
from serai.kernel.ids import Digest, digest_of
from serai.ledger.tiles import parse_bundle
from serai.state import replay
from serai.testing.federation import Federation

AUDITOR = Path(__file__).parents[1] / "tools" / "audit_log.py"


def main() -> None:
    """A bloc releases a model; then only what an outsider holds is used."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        genesis = make_release(home)
        file, log = home / "model.safetensors", home / "log"
        found = audit(log, genesis)
        print(f"the auditor: {found['entries']} entries, cosigned by {', '.join(sorted(found['cosigned']))}")
        assert (found["ok"], found["status"]) == (True, 0)

        # The entries are what was signed and witnessed. What do they add up to? Is our file what was released?
        bundle = log / "tile" / "entries" / "000.p" / str(found["entries"])
        state = replay(parse_bundle(bundle.read_bytes(), found["entries"]))
        model = Digest(hashlib.sha256(file.read_bytes()).hexdigest())
        release = state.hub.releases[state.hub.by_model[model]]
        print(f"the model:   {model[:12]} was released by {release.member} as {release.body.title!r}")
        # Now one bit of one early entry.
        data = bytearray(bundle.read_bytes())
        data[len(data) // 3] ^= 1
        bundle.write_bytes(data)
        bent = audit(log, genesis)
        print(f"one bit off: {bent['reason']}")
        assert (bent["ok"], bent["status"]) == (False, 1)
    print("proved: this very file was released by the members' own rules, and a single bent bit is noticed")


def audit(log: Path, genesis: Digest) -> dict[str, Any]:
    """Run the one-file auditor, which shares no code with serai."""
    command = [sys.executable, str(AUDITOR), str(log), "--genesis", genesis, "--json"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # our own program
    return {**json.loads(done.stdout), "status": done.returncode}


def make_release(home: Path) -> Digest:
    """Let two members release a model, and put what an outsider gets into a folder; the charter's digest."""
    generator = np.random.default_rng(8)
    x = generator.normal(size=(2, 40, 3))
    tables = {name: np.column_stack((x[k], x[k] @ [1, -1, 1] > 0)).tolist() for k, name in enumerate(("lima", "oslo"))}
    bloc = Federation(home / "bloc", tables)
    bloc.found()
    run = bloc.train(bloc.agree(), "newton", rounds=2, params={"features": "3"})
    bloc.settle()
    ((_, model),) = bloc.state.analytics.by_model  # each member has evaluated the one model there is
    bloc.center.get_blob(model, home / "model.safetensors")
    size = (home / "model.safetensors").stat().st_size
    evaluations = tuple(item.id for item in evaluations_of(bloc.state.analytics, run, model).values())
    bloc.center.put_blob(digest_of(b"# Ours"), b"# Ours")
    bloc.say("oslo", Release(run=run, model=model, size_bytes=size, format="safetensors", title="Ours",
                             card=digest_of(b"# Ours"), license="MIT", evaluations=evaluations))  # fmt: skip
    bloc.settle()
    shutil.copytree(home / "bloc/center/public", home / "log")
    return genesis_of(bloc.charter)


if __name__ == "__main__":
    main()
