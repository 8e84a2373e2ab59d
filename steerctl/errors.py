"""Exceptions of steerctl, drawn once.

SteerctlError                 every error this package raises on purpose; the command line prints it as one line
├── UserError                 the user must act; exit code 2
│   ├── SpecError             a key, type or value in an experiment file or override
│   ├── DataError             a problem file is missing, unreadable or of the wrong schema
│   ├── ModelError            a model or tokenizer is missing or of a shape that cannot be served
│   └── RunFolderError        a run folder exists already, is incomplete, or belongs to something else
├── EngineError               the training or generation engine failed; the run can be resumed; exit code 1
│   └── NonFiniteError        loss or gradient is NaN or infinite; the step was not applied
├── StorageError              the disk is full or read-only; nothing half-written was left behind; exit code 1
│   └── PathError             what was named can never be written: no such folder, a file in its place; exit code 2
└── Interrupted               the user stopped the run, which is saved; exit code 130
"""

from __future__ import annotations


class SteerctlError(Exception):
    """Base of every deliberate error; its text is one line that says what is wrong and what to do."""

    exit_code: int = 1


class UserError(SteerctlError):
    """The user can mend this: exit code 2."""

    exit_code = 2


class SpecError(UserError):
    """An experiment file or an override is wrong; the text starts with `file:line: path:` where they are known."""


class DataError(UserError):
    """A problem file cannot be used."""


class ModelError(UserError):
    """A model folder, model id or tokenizer cannot be used."""


class RunFolderError(UserError):
    """A run folder cannot be created, read or resumed."""


class EngineError(SteerctlError):
    """An engine failed; every finished step is on disk."""


class NonFiniteError(EngineError):
    """A loss or gradient became NaN or infinite; the text names step, update and micro-batch."""


class StorageError(SteerctlError):
    """Writing failed; the target is either absent or as it was before."""


class PathError(StorageError):
    """A path that cannot be written whatever the disk; the user can mend it."""

    exit_code = 2


class Interrupted(SteerctlError):
    """The run was stopped on request, after a finished step; it can be resumed."""

    exit_code = 130
