"""How a run that did not finish ends: what becomes of its folder, and the one line for the user."""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from steerctl.errors import Interrupted, RunFolderError, SteerctlError, StorageError, UserError
from steerctl.run.interrupt import NOTHING_WRITTEN, Abandoned, exit_code
from steerctl.run.log_sink import LogSink
from steerctl.store.folder import RunFolder
from steerctl.store.record import RunRecord

DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def closing_error(error: BaseException, folder: RunFolder | None) -> BaseException:
    """Leave the folder as it should be found, and return what to raise instead of `error`.

    A folder that this process made is removed, and `latest` put back, if no step was finished and the user has to act
    or has stopped the run; an engine's failure keeps it, because its logs say why. How to resume is said only where
    there is a finished step, and where resuming helps.
    """
    if isinstance(error, OSError) and error.errno in DISK:
        error = StorageError(f"{error.filename or 'the disk'}: cannot write: {error.strerror}; free some space there")
    if not isinstance(error, (KeyboardInterrupt, SteerctlError)):
        return error
    if folder is None:
        return stopped(NOTHING_WRITTEN) if isinstance(error, KeyboardInterrupt) else error
    state, steps = folder.status.state, folder.status.step
    gone = folder.created and steps == 0 and isinstance(error, (KeyboardInterrupt, UserError, StorageError))
    if gone:
        with suppress(StorageError):
            folder.retract()
    elif state != "finished":
        _record(folder, error, steps)
    return _explained(error, folder.path, state, steps)


def _explained(error: KeyboardInterrupt | SteerctlError, path: Path, state: str, steps: int) -> SteerctlError:
    hint = f"; {how_to_resume(path)}" if steps else ""
    if isinstance(error, Interrupted):
        return stopped(f"{error}{hint}")
    if isinstance(error, SteerctlError):
        return error if isinstance(error, UserError) or not hint else type(error)(f"{error}{hint}")
    if state == "finished":
        return stopped(f"interrupted after the last step; {path} is finished")
    if not steps:
        return stopped("interrupted before the first step was finished; nothing was kept")
    return stopped(f"{'step abandoned' if isinstance(error, Abandoned) else 'interrupted'}{hint}")


def _record(folder: RunFolder, error: KeyboardInterrupt | SteerctlError, steps: int) -> None:
    interrupted = isinstance(error, (KeyboardInterrupt, Interrupted))
    text = str(error) or ("step abandoned on request" if isinstance(error, Abandoned) else "interrupted")
    LogSink(folder).note(text)
    with suppress(StorageError):  # the disk may be the fault that is being reported
        folder.set_status("interrupted" if interrupted else "failed", steps, text)


def stopped(text: str) -> Interrupted:
    """The user's signal as an error with its exit code."""
    error = Interrupted(text)
    error.exit_code = exit_code()
    return error


def how_to_resume(path: Path) -> str:
    """The command."""
    return f"go on with: steerctl train --resume {path}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the launcher, which has no run folder, says after its ranks have ended.

    before   the run_id that was at `path` when it started, None without a run
    """

    path: Path
    resumed: bool
    before: str | None

    @classmethod
    def of(cls, path: Path, *, resumed: bool) -> Outlook:
        """As things stand before the ranks are started."""
        return cls(path, resumed, _run_id(path))

    def __call__(self) -> str:
        """How to go on with the run, or that there is nothing to go on with."""
        now = _run_id(self.path)
        if now is None or (now == self.before and not self.resumed):
            return "nothing was written"
        if RunRecord(self.path).status.step == 0:
            return "no step was finished"
        return how_to_resume(self.path)


def _run_id(path: Path) -> str | None:
    try:
        return str(RunRecord(path).environment.get("run_id"))
    except RunFolderError:
        return None
