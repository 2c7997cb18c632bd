"""Processes of the service, copied from one that has loaded it: a killed one is replaced at once."""

import multiprocessing

from uvicorn import _subprocess


def copy_loaded() -> None:
    """Have uvicorn's processes begin as copies of one that holds the program, and share its memory.

    uvicorn starts each from nothing, and has no setting for it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["api.main", "api.cli"])
    _subprocess.spawn = context  # type: ignore[assignment]
