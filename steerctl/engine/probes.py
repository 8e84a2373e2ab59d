"""Does an engine work here? Tried out in processes of their own, with a limit on their time. Used by `steerctl doctor`.

Nothing heavy is imported here: a broken torch must be reported, not crash the report.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from steerctl.errors import SteerctlError

VLLM_LOOK = (
    "import json, torch, vllm; from vllm.platforms import current_platform as here; "
    "print(json.dumps({'version': vllm.__version__, 'device': here.device_type}))"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial showed, e.g. "one optimiser step on cpu, in 4.1 s"."""

    works: bool
    text: str


class Trial:
    """A command that runs in the background and prints one line of JSON when it works.

    Raises nothing: whatever goes wrong is the outcome.
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._timeout, self._start = timeout, time.monotonic()
        self._said, self._errors, self._seconds = "", "", timeout
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def found(self) -> tuple[dict[str, object] | None, str]:
        """What it printed, and how long it took; or None, and why."""
        self._reader.join()
        if self._seconds >= self._timeout:
            return None, f"no result within {self._timeout:g} s"
        lines = [line for line in self._said.splitlines() if line.startswith("{")]
        if self._process.returncode != 0 or not lines:
            return None, last_line(self._errors) or f"ended with exit code {self._process.returncode}"
        answer: dict[str, object] = json.loads(lines[-1])
        return answer, f"{self._seconds:.1f} s"

    def _read(self) -> None:
        try:
            self._said, self._errors = self._process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return
        self._seconds = time.monotonic() - self._start


def last_line(text: str) -> str:
    """Where Python and most libraries say what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def try_zero3(timeout: float) -> Trial:
    """Start one ZeRO-3 step; read it with `zero3`."""
    return Trial([sys.executable, "-m", "steerctl.engine.probe_zero3"], timeout)


def zero3(trial: Trial) -> Outcome:
    """Whether DeepSpeed sharded, trained and gathered a parameter here."""
    answer, text = trial.found()
    if answer is None:
        return Outcome(works=False, text=text)
    moved = answer["moved"]
    if not (isinstance(moved, float) and 0 < moved < 1):
        return Outcome(works=False, text=f"the step moved the weight by {moved}")
    return Outcome(works=True, text=f"one optimiser step on {answer['device']}, in {text}")


def try_vllm(timeout: float) -> Trial:
    """Start importing vLLM; read it with `vllm`."""
    return Trial([sys.executable, "-c", VLLM_LOOK], timeout)


def vllm(trial: Trial) -> Outcome:
    """Whether vLLM imports, and which device it sees."""
    answer, text = trial.found()
    if answer is None:
        return Outcome(works=False, text=text)
    device = answer["device"] or "no device"
    return Outcome(works=bool(answer["device"]), text=f"imports as {answer['version']} on {device}, in {text}")


def serve_once(timeout: float) -> Outcome:
    """Start a real vLLM server with the embedded policy, take one completion from it, and end it."""
    from steerctl.engine.models import load_model, load_tokenizer  # noqa: PLC0415 (imports torch)
    from steerctl.engine.vllm.generator import ServedGenerator  # noqa: PLC0415 (imports torch)
    from steerctl.spec.experiment import PolicySpec  # noqa: PLC0415 (imports every plug-in)
    from steerctl.spec.generator import VllmGenerator  # noqa: PLC0415 (as above)
    from steerctl.types import Request, Sampling  # noqa: PLC0415 (as above)

    policy = PolicySpec()
    with TemporaryDirectory(prefix="steerctl-doctor-") as folder:
        try:
            tokenizer, start = load_tokenizer(policy), time.monotonic()
            spec = VllmGenerator(startup_timeout=timeout, max_restarts=0)
            served = ServedGenerator(spec, policy, tokenizer, Alone(), longest=64, seed=1, logs=Path(folder))
            try:
                served.load_weights(load_model(policy, seed=1).named_parameters(), 0)
                ready = time.monotonic() - start
                request = Request("doctor", tuple(tokenizer.encode("12+34=")), (1,))
                ((rollout,),) = served.generate([request], Sampling(1.0, 1.0, 0, 24))
            finally:
                served.close()
        except SteerctlError as error:
            return Outcome(works=False, text=str(error))
    return Outcome(works=True, text=f"a server was ready in {ready:.0f} s and gave {len(rollout.token_ids_T)} tokens")


class Alone:
    """The ranks of a single process."""

    rank, world_size = 0, 1

    def all_gather(self, value: object) -> list[object]:
        """Its own value."""
        return [value]
