"""Writing that either happens or does not: a temporary sibling, fsync, rename. Failures become StorageError."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steerctl.errors import PathError, StorageError

TEMPORARY = ".tmp-"
"""Prefix of whatever is being written or removed; anything so named is a leftover once its writer is gone."""

_ADVICE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or raise the quota",
    errno.EFBIG: "the file would be larger than this process may write",
    errno.EROFS: "choose another output folder",
    errno.EACCES: "change its permissions, or choose another output folder",
    errno.EPERM: "change its permissions, or choose another output folder",
}
_PATH_ADVICE = {
    errno.ENOENT: "make its folder first, or write elsewhere",
    errno.EEXIST: "something of that name is there; move it, or write elsewhere",
    errno.EISDIR: "that is a folder; name a file in it",
    errno.ENOTDIR: "a part of this path is a file; write elsewhere",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.ELOOP: "its links go round in a circle; write elsewhere",
}
"""What the user can mend without touching the disk."""
_FULL = ("No space left on device", "os error 28", "PytorchStreamWriter", "inline_container", "iostream error")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn whatever a full or read-only disk raises inside the block into one line that names `path`.

    OSErrors always; of other exceptions those by which safetensors and torch report a failed write.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        if error.errno in _PATH_ADVICE:
            raise PathError(f"{path}: cannot write: {reason}; {_PATH_ADVICE[error.errno]}") from error
        advice = _ADVICE.get(error.errno or 0, "see to the disk")
        raise StorageError(f"{path}: cannot write: {reason}; {advice}") from error
    except Exception as error:
        if not any(sign in str(error) for sign in _FULL):
            raise
        raise StorageError(f"{path}: cannot write: the disk is full; free some space there") from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file to write in the block; it becomes `path` when the block ends well and vanishes otherwise."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with storage_errors(path):
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Replace the file by `text`, UTF-8."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Add one line to the file in one write, on disk when this returns; if that fails the file is as it was."""
    data = (line + "\n").encode()
    with storage_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _append(handle, data)
        finally:
            os.close(handle)


def _append(handle: int, data: bytes) -> None:
    before = os.fstat(handle).st_size
    try:
        written = os.write(handle, data)
        os.fsync(handle)
    except BaseException:
        os.ftruncate(handle, before)
        raise
    if written < len(data):
        os.ftruncate(handle, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def publish(temporary: Path, final: Path) -> None:
    """Give a finished temporary folder its name; every file in it is on disk before."""
    with storage_errors(final):
        for folder, _, names in os.walk(temporary):
            for name in names:
                sync(Path(folder, name))
            sync(Path(folder))
        temporary.replace(final)
        sync(final.parent)


def discard(path: Path) -> None:
    """Remove a folder; it loses its name first, so that a half-removed folder is never taken for a whole one."""
    with storage_errors(path):
        doomed = path
        if not path.name.startswith(TEMPORARY):
            doomed = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
            path.replace(doomed)
        shutil.rmtree(doomed)


def sweep(folder: Path) -> None:
    """Remove what an interrupted writer left in `folder`; only for the folder's one writer."""
    with storage_errors(folder):
        for entry in folder.glob(f"{TEMPORARY}*"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the file or folder on disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a file system that cannot sync folders
            raise
    finally:
        os.close(handle)
