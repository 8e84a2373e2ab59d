"""Starting the ranks of a training run on this machine, and ending them together.

Each rank is a process group of its own that the kernel kills with the launcher. The first rank that fails ends the
others; its exit code is the launcher's. What the user sees is one line: rank 0 says its own errors itself, everything
else is said here (engine/outcome.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO

from steerctl.engine.environment import LAUNCHED, LOOPBACK, free_port
from steerctl.engine.outcome import ENDED, Outcome, Verdict, judge
from steerctl.errors import UserError
from steerctl.spec.experiment import EngineSpec

PROGRAM = (sys.executable, "-m", "steerctl")
GRACE_SECONDS = 20.0
"""How long ranks may take to end after a failure elsewhere before they are killed."""
STOP_SECONDS = 120.0
"""How long they may take after the first has ended because the user stopped the run: rank 0 has loggers to close."""
AGREE_SECONDS = 3.0
"""How long the other ranks get to fail in the same way by themselves (an error that all ranks find)."""
KEPT_LINES = 40
"""Lines of standard error kept of each rank but the first."""


def launch(
    argv: Sequence[str],
    engine: EngineSpec,
    *,
    program: Sequence[str] = PROGRAM,
    outlook: Callable[[], str] = str,
) -> int:
    """Run `program argv` as `engine.ranks` processes here (or on the machines of a hostfile); returns the exit code.

    Rank 0 has this process's standard output and error; the others are silent unless they fail. SIGINT and SIGTERM
    are passed on once, as SIGTERM, and waited for; a second one kills.

    outlook: asked after a failure: how to go on, or that nothing was written
    """
    if engine.hostfile is not None:
        # The DeepSpeed launcher starts and ends ranks over ssh, and passes signals on itself.
        return subprocess.call(hostfile_command(argv, engine, program=program), env=_rank_variables(engine))
    ranks: list[_Rank] = []
    environment = _rank_variables(engine) | {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(free_port())}
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else gloo listens where the machine's name points
    with _forwarding(ranks) as received:
        try:
            ranks.extend(_Rank(rank, [*program, *argv], environment) for rank in range(engine.ranks))
            if received:  # it came while the ranks were being started, and not all of them had it
                for started in ranks:
                    started.signal(signal.SIGTERM)
            verdict = _wait(ranks, received)
        finally:
            for started in ranks:
                started.kill()
    if verdict.text:
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # a killed rank 0 could not give the cursor back
            sys.stdout.flush()
        sys.stderr.write("; ".join(filter(None, (verdict.text, outlook() if verdict.resumable else ""))) + "\n")
    return verdict.code


def hostfile_command(argv: Sequence[str], engine: EngineSpec, *, program: Sequence[str] = PROGRAM) -> list[str]:
    """The DeepSpeed launcher's command for several machines: one rank per slot of the hostfile, over ssh.

    Every machine needs the same Python environment, the same working folder and passwordless ssh. engine.ranks must
    equal the sum of the slots.

    Raises:
        UserError: the hostfile is missing, or its slots do not add up to engine.ranks.
    """
    path = Path(engine.hostfile or "")
    if not path.is_file():
        raise UserError(f"engine.hostfile: {path} does not exist; its lines read `machine slots=8`")
    slots = sum(_slots(line, path) for line in path.read_text(encoding="utf-8").splitlines())
    if slots != engine.ranks:
        raise UserError(
            f"engine.hostfile: {path} has {slots} slots but engine.ranks is {engine.ranks}; make them equal"
        )
    runner = [program[0], "-m", "deepspeed.launcher.runner", "--quiet", "--hostfile", str(path), "--force_multi"]
    # What follows `python` runs as a module if it starts with -m, else as a script.
    target = ["--module", program[2]] if program[1] == "-m" else [program[1]]
    return [*runner, "--no_local_rank", *target, *argv]


def limit_threads(threads: int) -> None:
    """Let torch and the libraries below it use this many threads; more processes than cores spin-wait each other."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch  # noqa: PLC0415 (the launcher itself never loads torch)

    torch.set_num_threads(threads)


class _Rank:
    """One process and the last lines it wrote to standard error."""

    def __init__(self, rank: int, command: Sequence[str], environment: dict[str, str]) -> None:
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        stub = str(Path(__file__).with_name("rank_main.py"))
        shown = rank == 0
        self.rank = rank
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", stub, str(os.getpid()), *command],
            env=environment | own,
            stdin=None if shown else subprocess.DEVNULL,
            stdout=None if shown else subprocess.DEVNULL,
            stderr=None if shown else subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str] | None) -> None:
        for line in stream or ():
            self.lines.append(line)

    def signal(self, number: int) -> None:
        """Send a signal to the rank and everything it started; nothing happens if it has ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it now, with its children; may be called twice."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(timeout=1)

    def tell(self) -> None:
        """Let the rank itself, not its children, know that another one has ended."""
        if self.process.poll() is None:
            self.process.send_signal(ENDED)

    @property
    def outcome(self) -> Outcome:
        """How it ended, or that it has not; and what it said, unless the user has seen it."""
        return Outcome(self.rank, self.process.poll(), tuple(self.lines))


def _wait(ranks: list[_Rank], received: list[int]) -> Verdict:
    while True:
        codes = [rank.outcome.code for rank in ranks]
        if any(codes):
            break
        if all(code == 0 for code in codes):
            return Verdict(0)
        time.sleep(0.02)
    if received:
        _await_all(ranks, STOP_SECONDS)
    elif not any(code is not None and code < 0 for code in codes):  # nobody agrees with a rank that was killed
        _await_all(ranks, AGREE_SECONDS)
    for rank in ranks:
        rank.tell()
    _await_all(ranks, GRACE_SECONDS)
    outcomes = [rank.outcome for rank in ranks]
    for rank in ranks:
        rank.kill()
    # What a rank said last is read by now; who had not ended is ended by us, and to blame for nothing.
    return judge([replace(outcome, said=tuple(ranks[outcome.rank].lines)) for outcome in outcomes], received)


def _await_all(ranks: list[_Rank], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(rank.outcome.code is None for rank in ranks):
        time.sleep(0.02)


@contextmanager
def _forwarding(ranks: list[_Rank]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to the ranks once; the second time kill them. Yields the signals received so far.

    Both are passed on as SIGTERM: of that a rank whose Python is still starting dies in silence.
    """
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for rank in ranks:
            rank.signal(signal.SIGTERM if len(received) == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rank_variables(engine: EngineSpec) -> dict[str, str]:
    variables = dict(os.environ)
    variables |= {LAUNCHED: "1", "WORLD_SIZE": str(engine.ranks), "OMP_NUM_THREADS": str(engine.threads_per_rank)}
    if engine.device != "auto":
        variables["DS_ACCELERATOR"] = engine.device
    return variables


def _slots(line: str, path: Path) -> int:
    text = line.split("#", 1)[0].strip()
    if not text:
        return 0
    machine, _, count = text.partition(" slots=")
    if not machine.strip() or not count.strip().isdigit():
        raise UserError(f"engine.hostfile: {path}: cannot read `{line.strip()}`; its lines read `machine slots=8`")
    return int(count)
