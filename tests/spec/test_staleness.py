from __future__ import annotations

import pytest

from steerctl.spec.checks import check_spec
from steerctl.spec.load import load_spec
from tests.run.command import SMALL, write_spec


def found(tmp_path, **rollout) -> dict[str, str]:
    spec = load_spec(write_spec(tmp_path, rollout={**SMALL["rollout"], **rollout})).spec
    findings = check_spec(spec, None)
    return {finding.path: finding.level for finding in findings if finding.path.startswith(("rollout.a", "rollout.c"))}


TIS = {"kind": "truncated"}
VLLM = {"kind": "vllm"}
ASLEEP = {"kind": "vllm", "colocate": "sleep"}


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        ({}, {}),
        ({"correction": TIS}, {}),
        ({"ahead": 1, "correction": TIS, "generator": VLLM}, {}),
        ({"ahead": 1, "generator": VLLM}, {"rollout.ahead": "warning"}),
        ({"ahead": 1, "correction": TIS}, {"rollout.ahead": "note"}),
        ({"ahead": 1, "correction": TIS, "generator": ASLEEP}, {"rollout.ahead": "error"}),
        ({"correction": TIS, "top_p": 0.9}, {"rollout.correction": "warning"}),
        ({"correction": TIS, "top_k": 20}, {"rollout.correction": "warning"}),
        ({"correction": {"kind": "masked", "level": "geometric"}}, {"rollout.correction.level": "warning"}),
        ({"correction": {"kind": "masked", "level": "geometric", "low": 0.999, "high": 1.001}}, {}),
    ],
)
def test_findings(tmp_path, rollout, expected):
    assert found(tmp_path, **rollout) == expected
