"""Pages of tokens for runs that have token tables."""

import pyarrow as pa

from steerctl.analysis.columns import COLUMNS
from steerctl.report.page import token_pages as module
from steerctl.report.page.methods import group
from steerctl.report.page.token_pages import token_pages
from steerctl.store.folder import RunFolder
from tests.report.page.runs import write_run


def token_table(text):
    numbers = {"step": 2, "update": 1, "sample": 0, "position": 0, "length": 2, "token_id": 7, "passes": True}
    row = {name: numbers.get(name) for name in COLUMNS}
    row |= {"optimiser": "AdamW", "problem_id": "p", "text": text, "measured": -0.25, "advantage": 1.0, "entropy": 0.5}
    row = {name: 0.0 if value is None and COLUMNS[name].kind == "float64" else value for name, value in row.items()}
    row = {name: 0 if value is None and COLUMNS[name].kind == "int32" else value for name, value in row.items()}
    return pa.table({name: [value] for name, value in row.items()})


def test_the_newest_table_of_the_first_run_of_each_method(tmp_path):
    bare = [write_run(tmp_path / "a", method, 1) for method in ("grpo", "steer")]
    assert token_pages(group(bare)) == []
    records = [write_run(tmp_path / "b", "grpo", seed) for seed in (1, 2)]
    run = RunFolder(records[1].path, lock=None)
    run.write_probe(1, token_table("early"))
    run.write_probe(2, token_table("<b>late</b>"))
    (page,) = token_pages(group(records))
    assert page.label == "grpo-seed2, step 2"
    assert "&lt;b&gt;late&lt;/b&gt;" in page.html
    assert "early" not in page.html


def test_there_is_an_end_to_it(tmp_path, monkeypatch):
    records = [write_run(tmp_path, method, 1) for method in ("grpo", "steer", "wide")]
    for record in records:
        RunFolder(record.path, lock=None).write_probe(1, token_table("x"))
    methods = group(records)
    assert len(token_pages(methods)) == 3
    monkeypatch.setattr(module, "MOST_PAGES", 2)
    assert len(token_pages(methods)) == 2
    monkeypatch.setattr(module, "MOST_LETTERS", 100)
    assert token_pages(methods) == []
