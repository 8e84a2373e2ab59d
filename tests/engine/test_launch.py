"""Launching real processes: they start, talk, fail and die together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steerctl.engine.launch import hostfile_command, launch
from steerctl.errors import UserError
from steerctl.spec.experiment import EngineSpec

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "rank.py"
    path.write_text(text)
    return [str(path), str(tmp_path)]


def run(argv: list[str], ranks: int) -> int:
    return launch(argv, EngineSpec(ranks=ranks, threads_per_rank=2, device="cpu"), program=[sys.executable])


@pytest.mark.skipif(sys.platform != "linux", reason="listening sockets are read from /proc")
def test_ranks_of_one_machine_are_not_to_be_reached_from_another(tmp_path: Path) -> None:
    """What travels between ranks is unpickled, and torch asks nobody who he is."""
    text = """
import os, pathlib, re, sys
from steerctl.engine.ranks import TorchRanks, end_rank
ranks = TorchRanks("cpu")
assert ranks.all_gather(ranks.rank) == [0, 1]
own = {re.findall(r"\\d+", os.readlink(f"/proc/self/fd/{n}"))[0] for n in os.listdir("/proc/self/fd")
       if os.path.exists(f"/proc/self/fd/{n}") and os.readlink(f"/proc/self/fd/{n}").startswith("socket:")}
found = []
for table in ("tcp", "tcp6"):
    for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[3] == "0A" and parts[9] in own:
            found.append(parts[1].split(":")[0])
ranks.barrier()
(pathlib.Path(sys.argv[1]) / f"heard{ranks.rank}").write_text(" ".join(found))
end_rank(0)
"""
    assert run(script(tmp_path, text), 2) == 0
    heard = [(tmp_path / f"heard{rank}").read_text().split() for rank in (0, 1)]
    assert len(heard[0]) >= 2  # the store, and gloo's own
    assert {address for each in heard for address in each} == {"0100007F"}


def start(argv: list[str], ranks: int) -> subprocess.Popen[str]:
    """The launcher as a process of its own."""
    code = (
        "import sys\nfrom steerctl.engine.launch import launch\nfrom steerctl.spec.experiment import EngineSpec\n"
        f"engine = EngineSpec(ranks={ranks}, device='cpu')\n"
        "sys.exit(launch(sys.argv[1:], engine, program=[sys.executable], outlook=lambda: 'go on'))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def pids(tmp_path: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(found := list(tmp_path.glob("pid*"))) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(path.read_text()) for path in found]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(found: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in found)


SLEEPER = """
import os, pathlib, signal, sys, time
folder, rank = pathlib.Path(sys.argv[1]), os.environ["RANK"]
def stop(number, frame):
    with (folder / f"heard{rank}").open("a") as file:
        file.write(f"{number}\\n")
    sys.exit(7)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
(folder / f"new{rank}").write_text(str(os.getpid()))
(folder / f"new{rank}").rename(folder / f"pid{rank}")
time.sleep(60)
"""


def test_ranks_know_their_place(tmp_path: Path) -> None:
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "DS_ACCELERATOR"]
    argv = script(
        tmp_path,
        "import json, os, pathlib, sys\n"
        "pathlib.Path(sys.argv[1], os.environ['RANK'] + '.json').write_text(json.dumps(dict(os.environ)))\n",
    )
    assert run(argv, 3) == 0
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    for rank, variables in enumerate(found):
        shared = ["3", "127.0.0.1", found[0]["MASTER_PORT"], "2", "cpu"]
        assert [variables[name] for name in names] == [str(rank), str(rank), *shared]
        assert variables["STEERCTL_LAUNCHED"] == "1"


def test_a_failing_rank_ends_the_others_and_is_shown(tmp_path: Path) -> None:
    argv = script(
        tmp_path,
        "import os, sys, time\n"
        "print('from rank', os.environ['RANK'])\n"
        "if os.environ['RANK'] == '1':\n    sys.exit('the reason')\n"
        "time.sleep(200)\n",
    )
    started = time.monotonic()
    process = start(argv, 2)
    out, err = process.communicate(timeout=150)
    assert time.monotonic() - started < 100
    assert process.returncode == 1
    assert out in ("", "from rank 0\n")
    assert err == "rank 1 of 2: the reason; go on\n"


def test_an_error_all_ranks_find_is_shown_once(tmp_path: Path) -> None:
    process = start(script(tmp_path, "import sys\nsys.stderr.write('bad key\\n')\nsys.exit(2)\n"), 2)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (2, "bad key\n")


def test_a_traceback_is_shown_whole_with_its_rank(tmp_path: Path) -> None:
    argv = script(tmp_path, "import os, time\nif os.environ['RANK'] == '1':\n    1 / 0\ntime.sleep(60)\n")
    process = start(argv, 2)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert err.startswith("Traceback")
    assert err.endswith("ZeroDivisionError: division by zero\nrank 1 of 2 ended with exit code 1; go on\n")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_128_plus_the_signal(tmp_path: Path, rank: int) -> None:
    text = f"import os, time\nif os.environ['RANK'] == '{rank}': os.kill(os.getpid(), 9)\ntime.sleep(60)\n"
    process = start(script(tmp_path, text), 2)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 128 + 9
    assert err == f"rank {rank} of 2 was killed (signal 9, often out of memory); go on\n"


def test_ranks_end_without_taking_python_apart(tmp_path: Path) -> None:
    text = (
        "import atexit, os, pathlib, sys\n"
        "from steerctl.engine.ranks import TorchRanks, end_rank\n"
        f"left = pathlib.Path({str(tmp_path)!r}, os.environ['RANK'])\n"
        "class Finalised:\n"
        "    def __del__(self): os.write(2, b'finalised')\n"
        "sys.kept = Finalised()\n"
        "atexit.register(lambda: left.write_text('registered'))\n"
        "assert TorchRanks('cpu').all_gather(1) == [1, 1]\n"
        "sys.stdout.write('flushed')\n"
        "end_rank(3)\n"
    )
    process = start(script(tmp_path, text), 2)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out, err) == (3, "flushed", "")
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["registered", "registered"]


def test_a_rank_hears_that_another_one_has_ended_and_may_tidy_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import os, pathlib, signal, sys, time\n"
        "from steerctl.engine.outcome import ENDED, RANK_LOST\n"
        "heard = pathlib.Path(sys.argv[1], 'heard')\n"
        "def lost(*_):\n    heard.write_text('x')\n    sys.exit(RANK_LOST)\n"
        "signal.signal(ENDED, lost)\n"
        "if os.environ['RANK'] == '1':\n    time.sleep(1)\n    sys.exit('the reason')\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process = start(script(tmp_path, text), 2)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (1, "rank 1 of 2: the reason; go on\n")
    assert (tmp_path / "heard").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once(tmp_path: Path, number: signal.Signals) -> None:
    process = start(script(tmp_path, SLEEPER), 2)
    found = pids(tmp_path, 2)
    process.send_signal(number)
    process.communicate(timeout=100)
    assert process.returncode == 7
    assert [(tmp_path / f"heard{rank}").read_text() for rank in range(2)] == [f"{int(signal.SIGTERM)}\n"] * 2
    assert gone(found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ranks_that_die_of_the_users_signal_leave_the_word_to_the_launcher(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = start(script(tmp_path, SLEEPER.replace("signal.signal(signal.SIGTERM, stop)", "")), 2)
    pids(tmp_path, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (128 + number, "interrupted; go on\n")


def test_a_second_signal_kills(tmp_path: Path) -> None:
    deaf = SLEEPER.replace("sys.exit(7)", "pass").replace("time.sleep(60)", "[time.sleep(1) for _ in range(60)]")
    process = start(script(tmp_path, deaf), 2)
    found = pids(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 20
    while len(list(tmp_path.glob("heard*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (130, "abandoned; go on\n")
    assert gone(found)


def test_ranks_die_with_a_killed_launcher(tmp_path: Path) -> None:
    process = start(script(tmp_path, SLEEPER), 2)
    found = pids(tmp_path, 2)
    assert all(alive(pid) for pid in found)
    process.kill()
    process.communicate(timeout=100)
    assert gone(found)


def test_hostfile_command(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# two machines\nnode1 slots=2\nnode2  slots=2\n\n")
    engine = EngineSpec(ranks=4, hostfile=str(path))
    command = hostfile_command(["train", "x.yaml"], engine)
    assert command[1:4] == ["-m", "deepspeed.launcher.runner", "--quiet"]
    assert command[command.index("--hostfile") + 1] == str(path)
    assert command[-4:] == ["--module", "steerctl", "train", "x.yaml"]
    assert "--no_local_rank" in command
    script_command = hostfile_command(["a"], engine, program=[sys.executable, "rank.py"])
    assert script_command[-2:] == ["rank.py", "a"]


def test_the_deepspeed_launcher_understands_the_command(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("node1 slots=2\n")
    command = hostfile_command(["train", "x.yaml", "a.b=1"], EngineSpec(ranks=2, hostfile=str(path)))
    code = (
        "import sys\nfrom deepspeed.launcher.runner import parse_args, fetch_hostfile\n"
        "args = parse_args(sys.argv[1:])\n"
        "hosts = dict(fetch_hostfile(args.hostfile))\n"
        "print(args.user_script, args.user_args, args.module, args.no_local_rank, hosts)\n"
    )
    environment = os.environ | {"DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "steerctl ['train', 'x.yaml', 'a.b=1'] True True {'node1': 2}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("node1 slots=3\n", "3 slots but engine.ranks is 2"),
        ("node1\n", "cannot read `node1`"),
    ],
)
def test_a_wrong_hostfile_is_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "hosts"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        hostfile_command(["train"], EngineSpec(ranks=2, hostfile=str(path)))
