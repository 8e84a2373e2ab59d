"""Which tier holds is tried out, and the refusal is one line that says what to do."""

import os

import pytest

from steerctl.errors import UserError
from steerctl.reward.sandbox import probe as probing
from steerctl.reward.sandbox import tiers
from steerctl.reward.sandbox.probe import Probe, choose, probe
from steerctl.reward.sandbox.tiers import interpreter

NOTHING = Probe(None, {"bubblewrap": "bwrap is not installed", "landlock": "this kernel has no Landlock"})


@pytest.fixture
def fresh():
    """Nothing remembered, before or after."""
    for each in (probing.probe, probing._try):
        each.cache_clear()
    yield
    for each in (probing.probe, probing._try):
        each.cache_clear()


def test_the_strongest_tier_that_holds_is_chosen(strongest):
    found = probe()
    assert found.tier == strongest == choose(None, unsafe=False)
    assert found.findings[strongest] == "holds"
    assert choose(strongest, unsafe=False) == strongest


def test_without_bubblewrap_the_next_tier_is_tried(fresh, monkeypatch):
    monkeypatch.setattr(tiers.shutil, "which", lambda name: None)
    found = probe()
    assert found.findings["bubblewrap"] == "bwrap is not installed"
    assert found.tier in ("landlock", None)
    with pytest.raises(
        UserError, match=r"the sandbox tier bubblewrap does not hold here .bwrap is not installed.; install"
    ):
        choose("bubblewrap", unsafe=False)


def test_a_tier_that_confines_nothing_does_not_hold(fresh, monkeypatch, tmp_path):
    """With limits only, the trial's attacks succeed, and the probe sees it."""
    plain = tiers.command

    def loose(tier, python):
        return [each.replace('"seccomp": true', '"seccomp": false') for each in plain("unsafe", python)]

    monkeypatch.setattr(tiers, "_available", lambda python: {"landlock": False, "seccomp": False})
    monkeypatch.setattr("steerctl.reward.sandbox.worker.command", loose)
    failure = probing._attack("landlock", interpreter())
    assert failure.startswith("it lets code ")
    assert {"read a file", "connect", "fork", "run a program"} <= set(failure.removeprefix("it lets code ").split(", "))


def test_where_nothing_holds_it_refuses_in_one_line(monkeypatch):
    monkeypatch.setattr(probing, "probe", lambda: NOTHING)
    with pytest.raises(UserError) as refused:
        choose(None, unsafe=False)
    text = str(refused.value)
    assert "\n" not in text
    assert "bwrap is not installed" in text
    assert "apt-get install bubblewrap" in text


def test_unsafe_is_never_for_root(monkeypatch):
    monkeypatch.setattr(probing, "probe", lambda: NOTHING)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UserError, match="never run unconfined as root"):
        choose(None, unsafe=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose(None, unsafe=True) == "unsafe"


def test_unsafe_changes_nothing_where_a_tier_holds(strongest):
    assert choose(None, unsafe=True) == strongest
