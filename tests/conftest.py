"""Where the shared public data files are, if they are here; a process that every test finds alike."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.nn import functional

_ROOT = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background by a shell: what tests start would be deaf to Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _no_engine_left_behind() -> Iterator[None]:
    """What an engine in this process changes for good: the environment (it is a rank) and torch's own `linear`."""
    before, linear = dict(os.environ), functional.linear
    yield
    functional.linear = linear
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def shared_code() -> Path:
    folder = Path(os.environ.get("STEERCTL_SHARED_DATA", _ROOT.parent / "shared" / "data")) / "code"
    if not folder.is_dir():
        pytest.skip("the shared data is not here; name its folder in STEERCTL_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def shared_math() -> Path:
    folder = Path(os.environ.get("STEERCTL_SHARED_DATA", _ROOT.parent / "shared" / "data")) / "math"
    if not folder.is_dir():
        pytest.skip("the shared data is not here; name its folder in STEERCTL_SHARED_DATA")
    return folder
