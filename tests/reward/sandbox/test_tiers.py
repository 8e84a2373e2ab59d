"""Nothing gets out, nothing is read or written, every run ends: the attack list, in every tier, as root and not."""
# ruff: noqa: E501 (one attack a line)

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from steerctl.reward.sandbox.tiers import environment, interpreter
from steerctl.reward.sandbox.worker import Worker
from tests.reward.sandbox import attacks

HARMLESS = (
    "read a secret", "read a secret by io", "read a secret by libc", "read a secret by openat2", "read a secret by mmap",
    "read the password file", "read our source", "read the environment of the parent", "read through the interpreter's path",
    "write a file", "append to a file", "rename a file", "link a file", "symlink", "make a folder", "make a fifo", "memfd",
    "connect", "connect by libc", "send a datagram", "listen", "netlink", "abstract socket", "datagram to a path by a pair",
    "message to a path by a pair", "posix_spawn", "shell", "subprocess", "signal the parent", "raise priority",
)  # fmt: skip
"""Attacks that an unconfined process may carry out on us."""


def unconfined(bodies, folder):
    """What the attacks get without a sandbox."""
    results = {}
    with attacks.bait(folder) as given:
        for name, body in bodies.items():
            code = f"{attacks.program(body)}\nimport json\nprint(json.dumps(attack(json.loads({json.dumps(given)!r})) is True))"
            done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
            results[name] = done.stdout.strip() == "true"
    return results


def untouched(folder: Path) -> bool:
    return (
        sorted(each.name for each in folder.iterdir()) == ["planted.py", "secret", "socket", "writable"]
        and (folder / "writable").read_text() == "untouched"
        and not list(Path(tempfile.gettempdir()).glob("steerctl-attack"))
        and not list(Path("/dev/shm").glob("steerctl-attack"))  # noqa: S108 (where the attack would write)
    )


def test_nothing_gets_out_is_read_or_written(tier, python, tmp_path):
    found = attacks.run(tier, python, attacks.GETTING_OUT, tmp_path)
    assert set(found) == set(attacks.GETTING_OUT)
    assert {name: each.result for name, each in found.items() if each.result.end == "passed"} == {}
    assert untouched(tmp_path)


def test_every_run_ends_in_time_and_the_worker_goes_on(tier, python, tmp_path):
    bodies = {name: body for name, (body, _) in attacks.STAYING.items()}
    began = time.monotonic()
    found = attacks.run(tier, python, bodies, tmp_path, workers=6)
    ends = {name: each.result for name, each in found.items()}
    assert {name: end for name, end in ends.items() if end.end not in attacks.STAYING[name][1]} == {}
    assert max(each.seconds for each in found.values()) < attacks.LIMITS.wall_seconds + 3
    assert time.monotonic() - began < 120
    assert untouched(tmp_path)


def test_the_attacks_are_real(tmp_path):
    """Unconfined, they get what they want; so it is the sandbox that stops them."""
    got = unconfined({name: attacks.GETTING_OUT[name] for name in HARMLESS}, tmp_path)
    assert sum(got.values()) >= len(HARMLESS) - 6, [name for name, got_it in got.items() if not got_it]
    assert all(got[name] for name in ("read a secret", "write a file", "connect", "subprocess"))


AS_ANOTHER = """
import encodings.ascii, encodings.idna, encodings.latin_1, encodings.unicode_escape, json, os, sys
from pathlib import Path
from steerctl.reward.sandbox.probe import _attack, TIERS
from steerctl.reward.sandbox.tiers import interpreter
from tests.reward.sandbox import attacks
user, executable, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
python, report = interpreter(executable), {}
for tier in TIERS:
    report[tier] = {"probe": _attack(tier, python)}
    if report[tier]["probe"]:
        continue
    place = folder / tier
    place.mkdir()
    bodies = attacks.GETTING_OUT | {name: attacks.STAYING[name][0] for name in sys.argv[4:]}
    found = attacks.run(tier, python, bodies, place)
    report[tier]["ends"] = {name: each.result.end for name, each in found.items()}
    report[tier]["left"] = sorted(each.name for each in place.iterdir())
print(json.dumps(report))
"""


def test_an_ordinary_user_is_as_safe(ordinary):
    user, executable = ordinary
    folder = Path(tempfile.mkdtemp())  # not below pytest's own folder, which only root may enter
    os.chown(folder, user, user)
    quick = ("sleep", "memory bomb", "threads", "flood of reports", "early exit")
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, str(user), executable, str(folder), *quick], capture_output=True, text=True,
        check=False, cwd=Path(__file__).resolve().parents[3], env=os.environ | {"HOME": str(folder)}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(folder)
    held = {tier: each for tier, each in report.items() if not each["probe"]}
    if not held:
        pytest.skip(f"no tier holds for an ordinary user here: {report}")
    for each in held.values():
        assert [name for name, end in each["ends"].items() if end == "passed"] == []
        assert all(each["ends"][name] in attacks.STAYING[name][1] for name in quick)
        assert each["left"] == ["planted.py", "secret", "socket", "writable"]


def test_an_interpreter_brings_its_own_files_and_nothing_of_ours():
    found = interpreter()
    assert Path(found.executable).is_file()
    root = Path(__file__).resolve().parents[3]
    assert all(not root.is_relative_to(path) for path in found.readable)
    assert interpreter("/usr/bin/python3").packages == () if Path("/usr/bin/python3").exists() else True


def test_a_worker_sees_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("STEERCTL_TEST_SECRET", "hunter2")
    worker = Worker("unsafe", interpreter())
    try:
        seen = Path(f"/proc/{worker.process.pid}/environ").read_bytes().decode().strip("\0").split("\0")
    finally:
        worker.kill()
    assert dict(line.split("=", 1) for line in seen) == environment()
    assert "STEERCTL_TEST_SECRET" not in environment()
