"""The system calls that code under judgement may make; everything else is refused by the kernel.

An allow-list, as a classic BPF program installed with prctl(2), pure ctypes: what pure Python, its extension modules,
threads and asyncio need to compute, to read files and to write to the pipes they were given. Not on it: fork and exec,
signals to other processes, sockets but unnamed pairs, opening a file for writing, creating, renaming or removing
anything, ptrace, mounts, namespaces, keys, shared memory, other processes' memory, bpf, io_uring.

Source: Linux `include/uapi/linux/{seccomp,filter,audit}.h`; call numbers of `arch/x86/entry/syscalls/syscall_64.tbl`
and `include/uapi/asm-generic/unistd.h` (aarch64).
"""

from __future__ import annotations

import ctypes
import errno
import platform
from typing import NamedTuple

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_BIT = 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

# name: (x86_64, aarch64); None where the architecture has no such call.
_PLAIN: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "futex": (202, 98), "mmap": (9, 222), "munmap": (11, 215), "brk": (12, 214),
    "mremap": (25, 216), "madvise": (28, 233), "mprotect": (10, 226), "fstat": (5, 80), "newfstatat": (262, 79),
    "lseek": (8, 62), "close": (3, 57), "stat": (4, None), "lstat": (6, None), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "getdents64": (217, 61), "getdents": (78, None),
    "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "pipe": (22, None), "pipe2": (293, 59), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "sched_yield": (24, 124), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, None), "getrusage": (98, 165),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158), "getcwd": (79, 17), "uname": (63, 160),
    "getrlimit": (97, 163), "sysinfo": (99, 179), "getcpu": (309, 168), "sched_getaffinity": (204, 123),
    "getrandom": (318, 278), "wait4": (61, 260), "waitid": (247, 95), "restart_syscall": (219, 128),
    "set_tid_address": (218, 96), "set_robust_list": (273, 99), "get_robust_list": (274, 100), "rseq": (334, 293),
    "membarrier": (324, 283), "fadvise64": (221, 223), "exit": (60, 93), "exit_group": (231, 94),
    "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "eventfd2": (290, 19), "recvfrom": (45, 207), "shutdown": (48, 210),
    "getsockname": (51, 204), "getpeername": (52, 205), "getsockopt": (55, 209), "close_range": (436, 436),
}  # fmt: skip

# Refused with another error than EPERM: ENOSYS lets the C library fall back to an older call that is looked at;
# ENOTTY and EINVAL say "not a terminal" and "not a link".
_REFUSED: dict[str, tuple[int | None, int | None, int]] = {
    "clone3": (435, 435, errno.ENOSYS),
    "openat2": (437, 437, errno.ENOSYS),
    "faccessat2": (439, 439, errno.ENOSYS),
    "readlink": (89, None, errno.EINVAL),
    "readlinkat": (267, 78, errno.EINVAL),
}

_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE."""
_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020080
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC; F_SETOWN and F_SETSIG would be a kill."""
_IOCTL_COMMANDS = (0x5421, 0x5450, 0x5451)
"""FIONBIO, FIONCLEX, FIOCLEX."""
_AF_UNIX = 1


class _Instruction(NamedTuple):
    code: int
    if_true: int
    if_false: int
    value: int


class _SockFilter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


def build() -> ctypes.Structure:
    """The program for this machine, ready to be installed in any number of processes. Raises OSError elsewhere."""
    found = _ARCHITECTURES.get(platform.machine())
    if found is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"no list of system calls for {platform.machine()}")
    architecture, column = found
    program = [
        _Instruction(_LOAD, 0, 0, _ARCH),
        _Instruction(_JUMP_EQUAL, 1, 0, architecture),
        _Instruction(_RETURN, 0, 0, _KILL),
        _Instruction(_LOAD, 0, 0, _NR),
    ]
    if column == 0:
        program += [_Instruction(_JUMP_AT_LEAST, 0, 1, _X32_BIT), _Instruction(_RETURN, 0, 0, _KILL)]
    for numbers in _PLAIN.values():
        program += _when(numbers[column], [_returns(_ALLOW)])
    for refused in _REFUSED.values():
        program += _when(refused[column], [_returns(_ERRNO | refused[2])])
    program += _looked_at(column)
    program.append(_returns(_ERRNO | errno.EPERM))
    filters = (_SockFilter * len(program))(*[_SockFilter(*each) for each in program])
    return _SockFprog(len(program), filters)


def install(program: ctypes.Structure) -> None:
    """Bind this process, and every thread it will start, for good. Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def _looked_at(column: int) -> list[_Instruction]:
    """Calls whose arguments decide."""
    refuse, allow = _returns(_ERRNO | errno.EPERM), _returns(_ALLOW)
    no_writing = _returns(_ERRNO | errno.EACCES)
    opened = [_Instruction(_JUMP_SET, 0, 1, _WRITING), no_writing, allow]
    return [
        *_when((2, None)[column], [_argument(1), *opened]),
        *_when((257, 56)[column], [_argument(2), *opened]),
        *_when((56, 220)[column], [  # clone: threads only, in no namespace of their own
            _argument(0), _Instruction(_JUMP_SET, 0, 2, _CLONE_THREAD),
            _Instruction(_JUMP_SET, 1, 0, _CLONE_NAMESPACES), allow, refuse,
        ]),
        *_when((72, 25)[column], [_argument(1), *_one_of(_FCNTL_COMMANDS), refuse]),
        *_when((16, 29)[column], [_argument(1), *_one_of(_IOCTL_COMMANDS), _returns(_ERRNO | errno.ENOTTY)]),
        *_when((302, 261)[column], [*_is_zero(2), refuse]),  # prlimit64: asking, not setting
        *_when((53, 199)[column], [_argument(0), *_one_of((_AF_UNIX,)), refuse]),  # socketpair
        *_when((44, 206)[column], [*_is_zero(4), refuse]),  # sendto: to the other end, never to an address
    ]  # fmt: skip


def _when(number: int | None, then: list[_Instruction]) -> list[_Instruction]:
    """`then`, which must return on every path, for one call."""
    return [] if number is None else [_Instruction(_JUMP_EQUAL, 0, len(then), number), *then]


def _one_of(values: tuple[int, ...]) -> list[_Instruction]:
    return [each for value in values for each in (_Instruction(_JUMP_EQUAL, 0, 1, value), _returns(_ALLOW))]


def _is_zero(index: int) -> list[_Instruction]:
    """Allow if both halves of a 64-bit argument are zero."""
    upper = _Instruction(_LOAD, 0, 0, _ARGUMENTS + 8 * index + 4)
    return [
        _argument(index), _Instruction(_JUMP_EQUAL, 0, 3, 0), upper, _Instruction(_JUMP_EQUAL, 0, 1, 0),
        _returns(_ALLOW),
    ]  # fmt: skip


def _argument(index: int) -> _Instruction:
    """Load the lower half of an argument."""
    return _Instruction(_LOAD, 0, 0, _ARGUMENTS + 8 * index)


def _returns(value: int) -> _Instruction:
    return _Instruction(_RETURN, 0, 0, value)
