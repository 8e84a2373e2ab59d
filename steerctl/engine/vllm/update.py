"""Before and after new weights, whatever brings them: the order vLLM gives for reinforcement learning.

pause, update, stamp the version, forget keys and values of the old weights, resume. A server that sleeps beside the
trainer is paused already: its weights are woken before the update, its keys and values after it.
"""

from __future__ import annotations

from steerctl.engine.vllm.wire import Connection
from steerctl.errors import EngineError


def sleep(connection: Connection) -> None:
    """Let a server give its memory back: weights go to CPU memory (level 1), keys and values are forgotten.

    Level 1, not 2, which would drop the weights: a server that wakes without a push is still right.
    """
    connection.call("POST", "/sleep?level=1&mode=wait")


def hold(connection: Connection, *, may_sleep: bool) -> bool:
    """Stop a server's sampling before its weights change; requests wait. Returns whether it was asleep."""
    asleep = may_sleep and bool((connection.call("GET", "/is_sleeping") or {}).get("is_sleeping"))
    connection.call("POST", "/wake_up?tags=weights" if asleep else "/pause?mode=keep")
    return asleep


def release(connection: Connection, version: int, *, asleep: bool) -> None:
    """Stamp the new weights and let the server go on.

    Raises:
        EngineError: it keeps keys and values of the old weights.
    """
    connection.call("POST", "/update_weight_version", {"new_version": str(version)})
    answer = connection.call("POST", "/reset_prefix_cache")
    if not (answer or {}).get("success", True):
        raise EngineError(f"{connection.url}: keeps keys and values of the old weights: its prefix cache is in use")
    if asleep:
        connection.call("POST", "/wake_up?tags=kv_cache")
    connection.call("POST", "/resume")
