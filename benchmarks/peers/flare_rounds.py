"""NVIDIA FLARE's deployment path: provisioned kits of a server and K members on loopback, with its mutual TLS."""

import json
import shutil
import tempfile
from pathlib import Path

from setting import TIMEOUT_S, Rounds, Setting, median_round
from trees import Trees, free_port

JOB = Path(__file__).parent / "flare_job"
LARGEST_ERROR = 1e-3  # of float32 sums after some rounds
PROJECT = """api_version: 3
name: rounds
description: a server and members on loopback
participants:
  - {{name: server, type: server, org: here, fed_learn_port: {port}, default_host: localhost}}
  - {{name: admin@nvidia.com, type: admin, org: here, role: project_admin}}
{members}
builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
    args: {{template_file: [master_template.yml]}}
  - path: nvflare.lighter.impl.static_file.StaticFileBuilder
    args: {{config_folder: config, scheme: http}}
  - path: nvflare.lighter.impl.cert.CertBuilder
  - path: nvflare.lighter.impl.signature.SignatureBuilder
"""


def measure(programs: Path, setting: Setting) -> Rounds:
    """Run the job once.

    Args:
        programs: of the environment that has FLARE.
        setting: what to run.

    Raises:
        RuntimeError: it did not come to an end, or to a wrong one.

    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"HOME": name, "PATH": f"{programs}:/usr/bin:/bin"}
        with Trees(folder, environment) as trees:
            kits = _provision(trees, folder, programs, setting.members)
            sites = [f"site-{number}" for number in range(1, setting.members + 1)]
            for site in ("server", *sites):
                trees.start(site, ["/bin/bash", str(kits / site / "startup" / "sub_start.sh"), "--once"])
            job, found = folder / "job", folder / "found.json"
            shutil.copytree(JOB, job, ignore=shutil.ignore_patterns("__pycache__"))
            sizes = [str(number) for number in (setting.members, setting.rounds, setting.values)]
            kit = str(kits / "admin@nvidia.com")
            submit = f"cd {job} && exec {programs}/python submit.py {kit} {' '.join(sizes)} {found} {folder}/jobs"
            trees.run("the submission", ["/bin/bash", "-c", submit], 400)
            said = json.loads(trees.wait_for(found, TIMEOUT_S))
            if not said["error"] < LARGEST_ERROR:
                message = f"FLARE's final model is off by {said['error']:g}"
                raise RuntimeError(message)
            return Rounds(seconds=median_round(said["starts"]), server_mb=trees.peak_mb["server"])


def _provision(trees: Trees, folder: Path, programs: Path, members: int) -> Path:
    """Make keys and start kits for everybody; the folder they lie in."""
    names = [f"  - {{name: site-{number}, type: client, org: here}}" for number in range(1, members + 1)]
    project = folder / "project.yml"
    project.write_text(PROJECT.format(port=free_port(), members="\n".join(names)), encoding="utf-8")
    command = [str(programs / "nvflare"), "provision", "-p", str(project), "-w", str(folder / "kits")]
    trees.run("nvflare provision", command, 120)
    return folder / "kits" / "rounds" / "prod_00"
