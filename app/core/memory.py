"""Giving memory back: after a large document the C library keeps what was freed, and other kinds of objects grow on."""

import ctypes

_LIBRARY = ctypes.CDLL(None)


def give_back() -> None:
    """Have the C library return free memory to the system now (glibc's `malloc_trim`); elsewhere nothing happens."""
    trim = getattr(_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)
