"""A virtual environment for each peer, made once: their dependencies must not meet ours."""

import subprocess
import sys
from pathlib import Path


def ensure(folder: Path, requirement: str) -> Path:
    """The folder of an environment's programs, with the requirement installed.

    Args:
        folder: of the environment; made unless it is there.
        requirement: as pip takes it.

    Raises:
        RuntimeError: it cannot be installed, and why.

    """
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != requirement:
        print(f"installing {requirement} into {folder}", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input", requirement])
        stamp.write_text(requirement, encoding="utf-8")
    return folder / "bin"


def version(programs: Path, distribution: str) -> str:
    """The version that is installed."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return _run([str(programs / "python"), "-c", code]).strip()


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        message = f"{' '.join(command)} failed: {done.stderr[-400:].strip()}"
        raise RuntimeError(message)
    return done.stdout
