"""Fields in words."""

from __future__ import annotations

from steerctl.spec.settings import setting_rows


def rows(room: str, kind: str):
    return {row.key: row for row in setting_rows(room, kind)}


def test_types_and_defaults_in_plain_words() -> None:
    steer = rows("intervention", "steer")
    assert steer["weight_min"].type == "number >= 0, <= 1"
    assert steer["weight_min"].default == "0.7"
    assert steer["mapping"].type == "exponential | linear | binary"
    assert steer["use_clip_indicator"].type == "true or false"
    assert "v4" in steer["weight_min"].meaning
    assert "kind" not in steer


def test_null_and_infinity() -> None:
    assert rows("loss", "ppo_clip")["dual_clip"].default == "null"
    assert rows("intervention", "clip_higher")["clip_ratio_low"].type == "number >= 0 | null"


def test_no_settings() -> None:
    assert setting_rows("advantage", "opo") == []
