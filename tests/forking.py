"""Processes of the product, copied from one that has loaded it: each starts at once, not in six seconds."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess

from gis.settings import ROOT

_LOADED = multiprocessing.get_context("forkserver")
_LOADED.set_forkserver_preload(["api.main", "api.cli", "tests.forking"])


def start(
    work: Callable[[], object], settings: dict[str, str], out: Path, err: Path | None = None
) -> ForkServerProcess:
    """Begin a piece of work in a process with settings of its own, what it says in files."""
    words = (work, os.environ | settings, out, err or out)
    process = _LOADED.Process(target=_be, args=words, daemon=True)
    process.start()
    return process


def command(words: list[str], settings: dict[str, str], folder: Path) -> CompletedProcess[str]:
    """Run `safetymap` with words to its end; what it says lies in the folder until then."""
    out, err = folder / "stdout", folder / "stderr"
    process = start(_Command(words), settings, out, err)
    process.join()
    assert process.exitcode is not None
    return CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


class _Command:
    """`safetymap` and its words, to be sent to another process."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def __call__(self) -> None:
        from api.cli import app  # noqa: PLC0415 - loaded where it runs, and there it is already

        sys.argv = ["safetymap", *self._words]
        app()


def _be(work: Callable[[], object], environment: dict[str, str], out: Path, err: Path) -> None:
    os.environ.update(environment)
    os.chdir(ROOT)
    for number, file in ((1, out), (2, err)):
        with file.open("a") as said:
            os.dup2(said.fileno(), number)
    work()
