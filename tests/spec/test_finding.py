"""A finding is plain data: equal when it says the same."""

from steerctl.spec.finding import Finding


def test_findings_compare_by_what_they_say() -> None:
    assert Finding("note", "optim.lr", "x") == Finding("note", "optim.lr", "x")
    assert len({Finding("note", "optim.lr", "x"), Finding("error", "optim.lr", "x")}) == 2
