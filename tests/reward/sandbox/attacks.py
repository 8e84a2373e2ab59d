"""Attacks on the sandbox: programs that try to get out, to read, to write, to stay, or to be judged right.

Each defines `attack(bait)` and returns True if it got what it wanted, or anything else. `bait` describes what lies
outside: a secret file, a folder that anyone may write to, a listening port, a process id. The names say what is tried.
"""
# ruff: noqa: E501, ISC004 (one attack a line)

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from steerctl.reward.sandbox.check import Judgement, Result
from steerctl.reward.sandbox.job import Limits
from steerctl.reward.sandbox.pool import Pool
from steerctl.reward.sandbox.tests import read
from steerctl.reward.sandbox.tiers import Interpreter, Tier
from steerctl.types import Problem

SECRET = "the-secret-8c1f"  # noqa: S105 (bait)
LIMITS = Limits(cpu_seconds=1, wall_seconds=4, memory_mib=512)
_WORKS = """
import ctypes, os, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def works(attempt):
    try:
        return attempt() not in (None, False, -1)
    except BaseException:
        return False
"""

# Bodies of attack(bait); they run with the names above. What they return must not be True.
GETTING_OUT: dict[str, str] = {
    "read a secret": "return SECRET in open(bait['secret']).read()",
    "read a secret by io": "import io; return SECRET in io.FileIO(bait['secret']).read().decode()",
    "read a secret by libc": "f = libc.open(bait['secret'].encode(), 0); return f >= 0 and os.read(f, 99) != b''",
    "read a secret by openat2": """
        how = (ctypes.c_uint64 * 3)(0, 0, 0)
        return libc.syscall(437, -100, bait['secret'].encode(), how, 24) >= 0""",
    "read a secret by io_uring": "return libc.syscall(425, 8, (ctypes.c_char * 256)()) >= 0",
    "read a secret by name_to_handle": "return libc.syscall(303, -100, bait['secret'].encode(), (ctypes.c_char * 256)(), (ctypes.c_int * 1)(), 0) >= 0",
    "read a secret of the server": "return works(lambda: open(f'/proc/{os.getppid()}/mem', 'rb').read(1))",
    "read the environment of the parent": "return b'=' in open(f'/proc/{bait[\"pid\"]}/environ', 'rb').read()",
    "read the password file": "return 'root' in open('/etc/passwd').read()",
    "read the shadow file": "return 'root' in open('/etc/shadow').read()",
    "read the home folder": "return bool(os.listdir(os.path.expanduser('~root'))) or bool(os.listdir('/home'))",
    "read our source": "return 'steerctl' in open(bait['source']).read()",
    "read a secret by mmap": "import mmap; f = os.open(bait['secret'], os.O_RDONLY); return bool(mmap.mmap(f, 1, prot=1)[0])",
    "read through the interpreter's path": "sys.path.insert(0, bait['folder']); import planted; return True",
    "write a file": "return works(lambda: open(bait['folder'] + '/written', 'w').write('x'))",
    "append to a file": "return works(lambda: open(bait['writable'], 'a').write('x'))",
    "truncate a file": "return works(lambda: os.truncate(bait['writable'], 0) is None)",
    "delete a file": "return works(lambda: os.unlink(bait['writable']) is None)",
    "rename a file": "return works(lambda: os.rename(bait['writable'], bait['folder'] + '/renamed') is None)",
    "link a file": "return works(lambda: os.link(bait['writable'], bait['folder'] + '/linked') is None)",
    "symlink": "return works(lambda: os.symlink('/', bait['folder'] + '/symlink') is None)",
    "make a folder": "return works(lambda: os.mkdir(bait['folder'] + '/made') is None)",
    "make a fifo": "return works(lambda: os.mkfifo(bait['folder'] + '/fifo') is None)",
    "make a device": "return works(lambda: os.mknod(bait['folder'] + '/device', 0o20666, os.makedev(1, 3)) is None)",
    "change permissions": "return works(lambda: os.chmod(bait['writable'], 0o777) is None)",
    "change an owner": "return works(lambda: os.chown(bait['writable'], 12345, 12345) is None)",
    "set times": "return works(lambda: os.utime(bait['writable'], (1, 1)) is None)",
    "set an attribute": "return works(lambda: os.setxattr(bait['writable'], 'user.x', b'x') is None)",
    "write below tmp": "return works(lambda: open('/tmp/steerctl-attack', 'w').write('x'))",
    "write to shared memory": "return works(lambda: open('/dev/shm/steerctl-attack', 'w').write('x'))",
    "write to the server's pipe": "return works(lambda: open(f'/proc/{os.getppid()}/fd/1', 'wb').write(b'x'))",
    "memfd": "return works(lambda: os.memfd_create('x') >= 0)",
    "shared memory by number": "return libc.shmget(0x1234, 4096, 0o1666) >= 0",
    "message queue": "return libc.msgget(0x1234, 0o1666) >= 0",
    "connect": "return works(lambda: socket.create_connection(('127.0.0.1', bait['port']), 1))",
    "connect by libc": "return libc.socket(2, 1, 0) >= 0",
    "send a datagram": "return works(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', bait['port'])))",
    "listen": "return works(lambda: socket.create_server(('127.0.0.1', 0)))",
    "netlink": "return works(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))",
    "abstract socket": "return works(lambda: socket.socket(socket.AF_UNIX).connect('\\0' + bait['abstract']) is None)",
    "datagram to a path by a pair": """
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return works(lambda: one.sendto(b'x', bait['folder'] + '/socket') > 0)""",
    "message to a path by a pair": """
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return works(lambda: one.sendmsg([b'x'], [], 0, bait['folder'] + '/socket') > 0)""",
    "fork": "return works(lambda: os.fork() >= 0)",
    "vfork": "return libc.syscall(58) >= 0",
    "clone": "return libc.syscall(56, 17, 0, 0, 0, 0) >= 0",
    "clone3": "return libc.syscall(435, (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17, 0, 0, 0), 64) >= 0",
    "posix_spawn": "return works(lambda: os.posix_spawn('/bin/true', ['true'], {}) > 0)",
    "exec": "os.execv('/bin/sh', ['sh', '-c', 'exit 0']); return True",
    "execveat": "return libc.syscall(322, -100, b'/bin/true', None, None, 0) >= 0",
    "shell": "return os.system('true') == 0",
    "subprocess": "return works(lambda: subprocess.run(['/bin/true']).returncode == 0)",
    "daemon": "return works(lambda: os.fork() == 0 and os.setsid())",
    "signal the parent": "return works(lambda: os.kill(os.getppid(), 0) is None)",
    "kill the parent": "return works(lambda: os.kill(os.getppid(), signal.SIGKILL) is None)",
    "kill everyone": "return works(lambda: os.kill(-1, signal.SIGKILL) is None)",
    "kill us": "return works(lambda: os.kill(bait['pid'], signal.SIGTERM) is None)",
    "kill by tgkill": "return libc.syscall(234, bait['pid'], bait['pid'], 15) == 0",
    "kill by sigqueue": "return libc.syscall(129, bait['pid'], 15, (ctypes.c_char * 128)()) == 0",
    "kill by pidfd": "return libc.syscall(434, bait['pid'], 0) >= 0",
    "kill by file owner": """
        import fcntl
        r, w = os.pipe()
        return works(lambda: fcntl.fcntl(r, 8, bait['pid']) is not None and fcntl.fcntl(r, 10, 9) is not None)""",
    "ptrace": "return libc.ptrace(16, os.getppid(), 0, 0) == 0",
    "ptrace me": "return libc.ptrace(0, 0, 0, 0) == 0",
    "read another process": "return libc.syscall(310, bait['pid'], None, 0, None, 0, 0) >= 0",
    "steal a descriptor": "return libc.syscall(438, 0, 0, 0) >= 0",
    "mount": "return libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    "unshare": "return libc.unshare(0x10000000) == 0",
    "join a namespace": "return libc.setns(0, 0) == 0",
    "chroot": "return works(lambda: os.chroot('/') is None)",
    "become root": "return works(lambda: os.setuid(0) is None)",
    "raise a limit": "import resource; return works(lambda: resource.setrlimit(resource.RLIMIT_CPU, (99, 99)) is None)",
    "raise priority": "return works(lambda: os.nice(-5) is not None)",
    "load a kernel program": "return libc.syscall(321, 0, None, 0) >= 0",
    "watch events": "return libc.syscall(298, (ctypes.c_char * 128)(), 0, -1, -1, 0) >= 0",
    "keys": "return libc.syscall(248, b'user', b'x', b'x', 1, -3) >= 0",
    "replace the filter": "return libc.prctl(22, 2, 0, 0, 0) == 0 or libc.syscall(317, 0, 0, 0) == 0",
    "32-bit calls": "return libc.syscall(0x40000000 + 39) >= 0",
    "a new session": "return works(lambda: os.setsid() >= 0)",
    "set the clock": "return works(lambda: time.clock_settime(time.CLOCK_REALTIME, 0) is None)",
    "reboot": "return libc.reboot(0xfee1dead) == 0",
    "host name": "return works(lambda: socket.sethostname('x') is None)",
    "dump core": "import resource; return resource.getrlimit(resource.RLIMIT_CORE)[0] != 0",
}  # fmt: skip

# What each must end as; they must end in time, and the worker must go on.
STAYING: dict[str, tuple[str, set[str]]] = {
    "infinite loop": ("while True: pass", {"timeout"}),
    "infinite loop, signals ignored": (
        "[signal.signal(s, signal.SIG_IGN) for s in range(1, 31) if s not in (9, 19)]\nwhile True: pass", {"timeout"}),
    "exceptions swallowed": (
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass", {"timeout"}),
    "big power": ("return len(str(7 ** (10 ** 8))) > 0 and 9 ** (9 ** 9)", {"timeout", "oom"}),
    "sleep": ("time.sleep(99)", {"timeout"}),
    "stopped": ("return works(lambda: os.kill(os.getpid(), signal.SIGSTOP) is None)", {"failed"}),
    "closed descriptors, then sleep": ("os.closerange(0, 99); time.sleep(99)", {"timeout"}),
    "deep recursion": (
        "sys.setrecursionlimit(10 ** 9)\nf = lambda n: f(n + 1) + 1\nreturn f(0)", {"failed", "crash", "oom", "timeout"}),
    "memory bomb": ("x = []\nwhile True: x.append(bytearray(1 << 20))", {"oom"}),
    "memory bomb by mmap": ("import mmap\nx = [mmap.mmap(-1, 1 << 24) for _ in range(10 ** 6)]", {"failed", "oom"}),
    "shared memory bomb": ("import mmap\nx = [mmap.mmap(-1, 1 << 24, flags=mmap.MAP_SHARED) for _ in range(9999)]", {"failed", "oom"}),
    "flood of reports": ("while True: os.write(3, b'1\\n' * 9999)", {"failed"}),
    "flood of standard output": ("while True: os.write(1, b'x' * 99999)", {"timeout"}),
    "threads": (
        "def spin():\n  while True: time.sleep(1)\n"
        "threading.stack_size(32768)\nwhile True: threading.Thread(target=spin, daemon=True).start()",
        {"crash", "failed", "timeout", "oom"}),
    "threads that spin": (
        "def spin():\n  while True: pass\n"
        "[threading.Thread(target=spin).start() for _ in range(8)]\nspin()", {"timeout"}),
    "main thread gone, another stays": (
        "def spin():\n  while True: time.sleep(1)\n"
        "threading.Thread(target=spin).start()\nlibc.pthread_exit(None)", {"timeout", "crash", "failed"}),
    "files": ("x = [os.open('/dev/null', 0) for _ in range(9999)]", {"failed"}),
    "pipes": ("x = [os.pipe() for _ in range(9999)]", {"failed"}),
    "segmentation fault": ("ctypes.string_at(0)", {"crash"}),
    "abort": ("libc.abort()", {"crash"}),
    "early exit": ("os._exit(0)", {"failed"}),
    "system exit": ("sys.exit(0)", {"failed"}),
    "deep value": ("x = []\nfor _ in range(10 ** 5): x = [x]\nreturn x", {"failed", "crash"}),
    "value in itself": ("x = []\nx.append(x)\nreturn x", {"failed"}),
    "huge value": ("return ['x' * 9999] * 9999", {"failed"}),
    "huge integer": ("return 1 << 10 ** 8", {"failed", "oom"}),
    "deep report": ("os.write(3, b'[' * 50000 + b'\\n'); os._exit(0)", {"failed"}),
    "report that is not JSON": ("os.write(3, bytes(range(256)) + b'\\n'); os._exit(0)", {"failed"}),
    "repr that raises": ("class A:\n  def __repr__(self): raise KeyboardInterrupt\nreturn A()", {"failed"}),
    "exception whose text raises": (
        "class E(Exception):\n  def __str__(self): raise RuntimeError\nraise E()", {"failed"}),
    "patched harness": (
        "import json, builtins\njson.dumps = lambda *a, **k: 'true'\nbuiltins.str = None\n"
        "sys.modules['inside.codec'].encode = lambda value: 'x'\nreturn 1", {"failed"}),
}  # fmt: skip


@dataclass
class Found:
    """What became of one attack, and how long it took."""

    result: Result
    seconds: float


@contextmanager
def bait(folder: Path) -> Iterator[dict[str, object]]:
    """What attacks are told lies outside; all of it is really there."""
    secret, writable = folder / "secret", folder / "writable"
    secret.write_text(SECRET)
    writable.write_text("untouched")
    (folder / "planted.py").write_text("")
    writable.chmod(0o666)
    abstract = f"steerctl-{os.getpid()}-{threading.get_ident()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as hidden,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        hidden.bind("\0" + abstract)
        hidden.listen()
        datagrams.bind(str(folder / "socket"))
        yield {
            "secret": str(secret), "writable": str(writable), "folder": str(folder), "pid": os.getpid(),
            "port": port.getsockname()[1], "abstract": abstract, "source": __file__,
        }  # fmt: skip


def problem(given: dict[str, object]) -> Problem:
    """True is what every attack would like to return."""
    tests = [{"kind": "call", "args": [given], "expected": True}]
    return Problem("attack", (), "", "attack", {"tests": tests, "entry_point": "attack"})


def program(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    if body.startswith("\n"):
        lines = "\n".join(f"    {line[8:]}" for line in body.strip("\n").splitlines())
    return f"SECRET = {SECRET[:4]!r} + {SECRET[4:]!r}\n{_WORKS}\ndef attack(bait):\n{lines}\n"


def run(tier: Tier, python: Interpreter, bodies: dict[str, str], folder: Path, workers: int = 4) -> dict[str, Found]:
    """Every attack in a fork of its own."""
    with bait(folder) as given:
        tests = read(problem(given), LIMITS)
        pool = Pool(tier, python, workers)
        pool.size = workers  # sleepers wait side by side, whatever the number of cores
        checks = {name: _Timed(Judgement(tests, program(body))) for name, body in bodies.items()}
        try:
            pool.run(list(checks.values()))
            replaced = pool.replaced
        finally:
            pool.close()
    assert replaced == 0, "an attack brought a worker down"
    return {
        name: Found(check.judgement.result, check.seconds) for name, check in checks.items() if check.judgement.result
    }


class _Timed:
    """A judgement that knows how long its only job took."""

    def __init__(self, judgement: Judgement) -> None:
        self.judgement, self.seconds = judgement, 0.0

    def next(self):
        return self.judgement.next()

    def take(self, reply):
        self.seconds = reply.wall_seconds
        self.judgement.take(reply)
