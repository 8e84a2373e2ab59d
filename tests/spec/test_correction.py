from __future__ import annotations

import pytest

from steerctl.errors import SpecError
from steerctl.spec.correction import MaskedCorrection, TruncatedCorrection
from steerctl.spec.load import load_spec
from tests.run.command import SMALL, write_spec


def rollout_of(tmp_path, correction, *overrides):
    path = write_spec(tmp_path, rollout={**SMALL["rollout"], "correction": correction})
    return load_spec(path, overrides).spec.rollout


def test_the_default_is_no_correction_and_nothing_ahead(tmp_path):
    rollout = load_spec(write_spec(tmp_path)).spec.rollout
    assert (rollout.correction, rollout.ahead) == (None, 0)


def test_kinds_and_their_published_defaults(tmp_path):
    assert rollout_of(tmp_path, {"kind": "truncated"}).correction == TruncatedCorrection(
        level="token", low=0.0, high=2.0
    )
    assert rollout_of(tmp_path, {"kind": "masked"}).correction == MaskedCorrection(
        level="token", low=0.5, high=5.0, weigh=True
    )


def test_from_the_command_line(tmp_path):
    given = rollout_of(tmp_path, None, "rollout.correction.kind=masked", "rollout.correction.high=3", "rollout.ahead=1")
    assert given.correction == MaskedCorrection(high=3.0)
    assert given.ahead == 1


@pytest.mark.parametrize(
    ("correction", "said"),
    [
        ({"kind": "truncated", "high": 0.5}, "must enclose 1"),
        ({"kind": "masked", "low": 1.5}, "must enclose 1"),
        ({"kind": "icepop"}, "icepop"),
        ({"kind": "truncated", "cap": 2.0}, "cap"),
        ({"kind": "masked", "level": "batch"}, "batch"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, correction, said):
    with pytest.raises(SpecError, match=said) as error:
        rollout_of(tmp_path, correction)
    assert len(str(error.value).splitlines()) == 1
