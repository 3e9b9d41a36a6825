"""Memory that was freed goes back to the system when asked."""

import ctypes
from pathlib import Path

import pytest

from app.core import memory

_LIBRARY = ctypes.CDLL(None)
_BLOCKS, _BYTES = 50_000, 1_024


def _resident_kb() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@pytest.mark.skipif(not hasattr(_LIBRARY, "malloc_trim"), reason="the C library is not glibc, which alone keeps it")
def test_what_the_c_library_keeps_is_given_back() -> None:
    """Fifty megabytes in small blocks under one that is still in use: freed, kept, and given back when asked."""
    _LIBRARY.malloc.restype, _LIBRARY.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [_LIBRARY.malloc(_BYTES) for _ in range(_BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, _BYTES)
    for block in blocks[:-1]:
        _LIBRARY.free(block)
    before = _resident_kb()

    memory.give_back()

    given = before - _resident_kb()
    _LIBRARY.free(blocks[-1])
    assert given > _BLOCKS * _BYTES // 1_024 // 2
