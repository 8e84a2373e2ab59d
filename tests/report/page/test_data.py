"""What the page's script gets."""

import json

from steerctl.report.page.curves import values_of
from steerctl.report.page.data import json_text, page_data
from steerctl.report.page.methods import group
from steerctl.report.page.report import Asked, make_report
from steerctl.report.page.token_pages import TokenPage
from tests.report.page.runs import spec_of, write_run


def test_curves_points_and_names(report):
    found = page_data(report, [TokenPage("label", "<p>page</p>")])
    assert found["methods"] == ["grpo", "steer", "wide"]
    assert found["shown"] == [0, 1, 2]
    assert len(found["panels"]) == len(report.panels) + 1  # and the points
    reward = found["panels"][[panel.key for panel in report.panels].index("reward/mean")]["curves"][2]
    run = report.methods.named("wide").runs[3]
    assert reward["runs"][3] == [float(f"{value:.4g}") for _, value in sorted(values_of(run, "reward/mean").items())]
    assert reward["low"][0] < reward["y"][0] < reward["high"][0]
    point = found["panels"][-1]["points"][1]
    assert point["method"] == 1
    assert len(point["seeds"]) == 4
    assert point["xLow"] < point["x"] < point["xHigh"]


def test_what_nothing_beats_is_among_the_few_drawn_at_first(tmp_path):
    names = ["grpo", *(f"m{index}" for index in range(9)), "best"]
    records = []
    for name in names:
        kind = "wide" if name == "best" else "grpo"  # as accurate, and keeps more entropy
        records.append(write_run(tmp_path, kind, 1, name=f"{name}-seed1", spec=spec_of(kind, 1) | {"name": name}))
    found = make_report(group(records), Asked(baseline="grpo"))
    assert found.front == ("best",)
    assert page_data(found, [])["shown"] == [0, 1, 2, 3, 4, 5, 10]


def test_nothing_in_it_can_end_its_element():
    text = json_text({"a": "</script><!-- &amp; \u2028"})
    assert not set("<>&") & set(text)
    assert json.loads(text)["a"] == "</script><!-- &amp; \u2028"
