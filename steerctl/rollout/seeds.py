"""The seed of every sampled response, as a pure function: generation replays."""

from __future__ import annotations

from hashlib import blake2b


def rollout_seed(seed: int, step: int, problem: int, sample: int) -> int:
    """A 63-bit seed for one response.

    Args:
        seed: the experiment's seed.
        step: the sample-and-train iteration; -1 - step for validation, so that the two never meet.
        problem: position in the order of problems, counted over epochs; a problem asked twice in a step differs.
        sample: index within the group.
    """
    digest = blake2b(f"{seed}/{step}/{problem}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
