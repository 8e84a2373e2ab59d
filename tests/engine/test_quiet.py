"""What DeepSpeed says while it works is kept off the display, and shown when something breaks."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from steerctl.engine.quiet import VERBOSE, hush


def chatter() -> None:
    sys.stdout.write("printed\n")
    warnings.warn("warned", stacklevel=1)
    logging.getLogger("chatter").warning("logged")


def test_chatter_is_swallowed_and_logging_restored(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    before = logging.root.manager.disable
    with hush():
        chatter()
    assert capsys.readouterr() == ("", "")
    assert (caplog.records, recwarn.list) == ([], [])
    assert logging.root.manager.disable == before


def test_an_exception_brings_it_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), hush():
        chatter()
        raise RuntimeError
    assert capsys.readouterr() == ("", "printed\n")


def test_a_level_lets_it_through(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VERBOSE, "info")
    with hush(), pytest.warns(UserWarning, match="warned"):
        chatter()
    assert capsys.readouterr().out == "printed\n"
