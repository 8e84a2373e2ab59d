"""Every alias leads to a key that exists."""

from __future__ import annotations

import pytest

from steerctl.plugins import registry
from steerctl.spec.aliases import ALIASES
from steerctl.spec.shape import known_paths

PATHS = {".".join(str(part) for part in path) for path, _ in known_paths()}


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_alias_leads_somewhere(alias: str) -> None:
    target = ALIASES[alias]
    if target.startswith("an intervention"):
        assert "algorithm.interventions" in PATHS
        if "kind: " in target:
            assert target.split("kind: ")[1].split("`")[0] in registry("steerctl.intervention")
    else:
        assert target in PATHS


def test_no_alias_hides_a_top_level_key() -> None:
    assert not {path for path in PATHS if "." not in path} & set(ALIASES)
