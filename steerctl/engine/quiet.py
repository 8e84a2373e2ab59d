"""DeepSpeed without its chatter: it prints to standard output, which belongs to rank 0's display."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

from steerctl.engine.ranks import Device

VERBOSE = "STEERCTL_ENGINE_LOG"
"""Environment variable: a logging level (debug, info, warning, error) for DeepSpeed; default error, on stderr."""


def import_deepspeed(device: Device) -> ModuleType:
    """The deepspeed module, bound to `device`, logging to standard error from the level in STEERCTL_ENGINE_LOG."""
    os.environ["DS_ACCELERATOR"] = device
    with hush():
        import deepspeed  # noqa: PLC0415 (slow: only when an engine is built)

    logger = logging.getLogger("DeepSpeed")
    logger.setLevel(_level())
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:  # its own, not one that a test or an application has added
            handler.setStream(sys.stderr)
    if _level() > logging.WARNING:
        # DeepSpeed calls collectives by names that torch has given newer ones.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed\..*")
    # Gloo does all communication on a CPU. DeepSpeed's shared-memory operation would be compiled with g++ on first use,
    # and sums in another order where a launcher sets LOCAL_SIZE, so that results would depend on who launched.
    # Assigned, not updated: reading the attribute would try out the compiler on every operation DeepSpeed has.
    deepspeed.ops.__compatible_ops__ = {"deepspeed_shm_comm": False}
    return deepspeed  # type: ignore[no-any-return]  # deepspeed carries no types


@contextmanager
def hush() -> Iterator[None]:
    """Swallow what is printed, warned and logged below the level; an exception brings it to standard error."""
    level = _level()
    if level <= logging.WARNING:
        yield
        return
    said = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    finally:
        logging.disable(before)


def _level() -> int:
    level = logging.getLevelName(os.environ.get(VERBOSE, "error").upper())
    return level if isinstance(level, int) else logging.ERROR
