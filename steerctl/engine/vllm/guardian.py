"""The process between the trainer and a server: ends the server, with all it started, when the trainer is gone.

Run by path, imports only the standard library. The guardian leads a process group in which the server's own processes
stay, so that one signal reaches them all. It looks at its parent instead of asking the kernel for a signal, because
that one would come when the *thread* that started it ends.

Usage: python guardian.py TRAINER_PID FOLDER COMMAND...; FOLDER is removed when the trainer has died.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_SECONDS = 0.2
GRACE_SECONDS = 5.0


def main(argv: list[str]) -> None:
    """Run the command until it ends, the trainer is gone or SIGTERM comes; then kill the group, this process too."""
    trainer, folder, command = int(argv[0]), argv[1], argv[2:]
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    orphaned = False
    while server.poll() is None and not asked and not orphaned:
        time.sleep(LOOK_SECONDS)
        orphaned = os.getppid() != trainer
    if (asked or orphaned) and server.poll() is None:
        server.terminate()  # it removes its shared memory
        deadline = time.monotonic() + GRACE_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    code = server.poll()
    sys.stdout.write(f"guardian: server {'stopped' if asked or orphaned else f'ended by itself, exit code {code}'}\n")
    sys.stdout.flush()
    if orphaned:
        shutil.rmtree(folder, ignore_errors=True)
    # Its workers end with it; the last of them remove shared memory that nobody else would.
    deadline = time.monotonic() + GRACE_SECONDS
    while others() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(0, signal.SIGKILL)


def others() -> list[int]:
    """The other processes of this group that still run; where there is no /proc, none is seen."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        state, _parent, group = stat.rpartition(")")[2].split()[:3]
        if int(group) == os.getpgrp() and int(entry.name) != os.getpid() and state != "Z":
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
