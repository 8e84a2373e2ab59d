"""Which files a process may read, by the kernel's Landlock; pure ctypes.

Everything the running kernel's version knows is forbidden (reading, writing, listing, executing, TCP, signals and
abstract sockets to the outside), then reading is allowed below the folders given.

Source: Linux `include/uapi/linux/landlock.h`; the call numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Sequence

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_RULE_PATH = 1
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""ABI version: all rights on files known since then (refer 2, truncate 3, ioctl on devices 5)."""
_NET_SINCE, _ALL_NET = 4, 0b11
_SCOPE_SINCE, _ALL_SCOPES = 6, 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    found: int = _libc().syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    return max(found, 0)


def build(readable: Sequence[str], listable: Sequence[str] = ()) -> int:
    """A file descriptor of the rules, to be applied in any number of processes. Raises OSError without Landlock.

    readable  files, and folders with all that is below them
    listable  folders whose files' names may be seen, not what is in them
    """
    abi = version()
    if abi == 0:
        raise OSError(95, "this kernel has no Landlock, or it is switched off")
    rights = max((since, mask) for since, mask in _FILE_RIGHTS.items() if since <= abi)[1]
    rules = _Ruleset(
        rights, _ALL_NET if abi >= _NET_SINCE else 0, _ALL_SCOPES if abi >= _SCOPE_SINCE else 0
    )  # a kernel that does not know the last fields accepts them as zero
    libc = _libc()
    descriptor: int = libc.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for path in readable:
        _allow(descriptor, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in listable:
        _allow(descriptor, path, _READ_DIR)
    return descriptor


def restrict(descriptor: int) -> None:
    """Bind this process for good; it must have set no_new_privs. Raises OSError."""
    if _libc().syscall(_RESTRICT, descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")


def _allow(descriptor: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there cannot be read
    rule = _PathBeneath(rights if stat.S_ISDIR(os.fstat(parent).st_mode) else rights & ~_READ_DIR, parent)
    failed = _libc().syscall(_ADD, descriptor, _RULE_PATH, ctypes.byref(rule), 0)
    os.close(parent)
    if failed:
        raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
