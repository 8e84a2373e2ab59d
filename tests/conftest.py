"""Where the shared public data files are, if they are here."""

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_math() -> Path:
    folder = Path(os.environ.get("STEERCTL_SHARED_DATA", _ROOT.parent / "shared" / "data")) / "math"
    if not folder.is_dir():
        pytest.skip("the shared data is not here; name its folder in STEERCTL_SHARED_DATA")
    return folder
