"""Memory that a process has done with, given back to the system."""

import asyncio
import ctypes
from contextlib import suppress

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Of glibc's mallopt(3)."""
_ARENAS = 2
"""Else eight of each core: what forty threads hold in as many heaps, hardly one of them can give back."""
_LARGE = 256 << 10
"""Bytes from which memory is a mapping of its own, gone when freed; fixed, else glibc raises it to 32 MB."""
TRIM_S = 10.0


def bound() -> None:
    """Let this process's allocator keep little of what is freed; nothing where the C library is not glibc."""
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        for what, value in ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE)):
            libc.mallopt(what, value)


async def trimming() -> None:
    """Give back what lies free within the heaps, for ever: only their ends are given back by themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim:
        await asyncio.sleep(TRIM_S)
        await asyncio.to_thread(trim, 0)
