"""Which tiers hold here; a Python that an ordinary user may run."""

import os
import pwd
import shutil

import pytest

from steerctl.reward.sandbox.probe import TIERS, _try
from steerctl.reward.sandbox.tiers import interpreter


@pytest.fixture(scope="session", params=TIERS)
def tier(request):
    failure = _try(request.param, None)
    if failure:
        pytest.skip(f"{request.param} does not hold here: {failure}")
    return request.param


@pytest.fixture(scope="session")
def strongest():
    """The strongest tier there is."""
    for each in TIERS:
        if not _try(each, None):
            return each
    pytest.skip("no tier holds here: neither bubblewrap nor Landlock with a system-call filter")
    return None


@pytest.fixture(scope="session")
def python():
    return interpreter()


@pytest.fixture(scope="session")
def ordinary():
    """(user id, a Python that this user may run) for tests that run as root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; as it is, all other tests here run as one")
    nobody = pwd.getpwnam("nobody").pw_uid
    for found in (interpreter().executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        if found and _may_run(nobody, found):
            return nobody, found
    pytest.skip("there is no Python here that an ordinary user may run")
    return None


def _may_run(user, program):
    import subprocess

    try:
        done = subprocess.run(
            [program, "-I", "-S", "-c", ""], user=user, group=user, extra_groups=[], cwd="/", check=False
        )
    except OSError:
        return False
    return done.returncode == 0
