"""First instructions of a launched rank: die with the launcher, then become the command. Run by path, imports nothing.

Usage: python rank_main.py LAUNCHER_PID COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Linux prctl(2): the signal a process gets when its parent dies; survives execve."""


def main(argv: list[str]) -> None:
    """Ask the kernel to be killed with the launcher, check that it still lives, and replace this process."""
    launcher, command = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (a list, no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
