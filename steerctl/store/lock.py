"""One writer per run folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path

from steerctl.errors import RunFolderError
from steerctl.store.atomic import storage_errors

_held: set[int] = set()


def _let_go_after_fork() -> None:
    """A forked child must not keep the run locked when its parent is gone."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_after_fork)


class Lock:
    """An exclusive lock on a file (flock), gone with its process however that ends.

    Raises RunFolderError, naming the process and host that hold it, when it is taken. On a file system without locks
    the file is written all the same and nothing is held.
    """

    def __init__(self, path: Path) -> None:
        with storage_errors(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(self._handle)
            os.close(self._handle)
            raise RunFolderError(f"{path.parent} is being written by {holder}; wait for it or stop it") from error
        except OSError:
            pass  # no locks here: better to run than to refuse
        _held.add(self._handle)
        try:
            with storage_errors(path):
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go; may be called twice."""
        if self._handle in _held:
            _held.discard(self._handle)
            os.close(self._handle)


def _holder(handle: int) -> str:
    try:
        content = json.loads(os.pread(handle, 4096, 0))
        return f"process {content['pid']} on {content['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def is_locked(path: Path) -> bool:
    """Whether some process, this one included, holds the lock now."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
