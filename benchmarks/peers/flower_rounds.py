"""Flower's deployment engine: a SuperLink and K SuperNodes on loopback, without TLS."""

import json
import shutil
import tempfile
from pathlib import Path

from setting import TIMEOUT_S, Rounds, Setting, median_round
from trees import Trees, free_port

APP = Path(__file__).parent / "flower_app"
LARGEST_ERROR = 1e-3  # of float32 sums after some rounds


def measure(programs: Path, setting: Setting) -> Rounds:
    """Run the app once.

    Args:
        programs: of the environment that has Flower.
        setting: what to run.

    Raises:
        RuntimeError: it did not come to an end, or to a wrong one.

    """
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n',
            encoding="utf-8",
        )
        environment = {
            "HOME": name,
            "FLWR_HOME": name,
            "FLWR_TELEMETRY_ENABLED": "0",
            "PATH": f"{programs}:/usr/bin:/bin",
        }
        with Trees(folder, environment) as trees:
            link = [str(programs / "flower-superlink"), "--insecure", "--host", "127.0.0.1", "--port", str(port)]
            trees.start("server", [*link, "--disable-runtime-dependency-installation"])
            for number in range(1, setting.members + 1):
                node = [str(programs / "flower-supernode"), "--insecure", "--superlink", f"127.0.0.1:{port}"]
                own = ["--host", "127.0.0.1", "--port", str(free_port()), "--node-config", f"number={number}"]
                trees.start(f"member-{number}", [*node, *own])
            found = folder / "found.json"
            config = f'members={setting.members} values={setting.values} rounds={setting.rounds} found="{found}"'
            _submit(trees, [str(programs / "flwr"), "run", str(folder / "app"), "here", "--run-config", config])
            said = json.loads(trees.wait_for(found, TIMEOUT_S))
            if not said["error"] < LARGEST_ERROR:
                message = f"Flower's final model is off by {said['error']:g}"
                raise RuntimeError(message)
            return Rounds(seconds=median_round(said["starts"]), server_mb=trees.peak_mb["server"])


def _submit(trees: Trees, command: list[str], attempts: int = 20) -> None:
    """Submit the run, again until the SuperLink answers."""
    for attempt in range(1, attempts + 1):
        try:
            trees.run("flwr run", command, 120)
        except RuntimeError:
            if attempt == attempts:
                raise
        else:
            return
