"""The token page: what a model wrote stays text, numbers arrive unchanged, colours can be read."""

import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser

import numpy as np
import pytest

from steerctl.report._colours import LEVELS, colour_edges, colour_rules
from steerctl.report.tokens import choose_responses, visible, write_token_page

NASTY = [
    "<script>alert(1)</script>", "</script><script>alert(2)</script>", '" onmouseover="alert(3)', "<!--", "&lt;b&gt;",
    "\u202eabc", "\u0301", "", "\n\n", "\t", "\x1b[31m", "数", "\ud800", "'", "]]>",
]  # fmt: skip


class Page(HTMLParser):
    """Elements, their attributes, and the text of tokens and scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tokens, self.scripts, self.styles, self.inside = [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        named = dict(attributes)
        if tag == "span" and (named.get("class") or "").startswith("t "):
            self.tokens.append("")
            self.inside = self.tokens
        elif tag in {"script", "style"}:
            self.inside = self.scripts if tag == "script" else self.styles
            self.inside.append("")

    def handle_endtag(self, tag):
        if tag in {"span", "script", "style"}:
            self.inside = None

    def handle_data(self, text):
        if self.inside is not None:
            self.inside[-1] += text


def table(texts, changes=None, problem="p1"):
    count = len(texts)
    measured = np.asarray(changes if changes is not None else np.linspace(-0.2, 0.2, count), dtype=float)
    own = 0.5 * measured
    own[:1] = np.nan
    return {
        "step": np.full(count, 2), "update": np.full(count, 1), "problem_id": np.array([problem] * count, dtype=object),
        "sample": np.zeros(count, int), "position": np.arange(count), "length": np.full(count, count + 3),
        "text": np.array(texts, dtype=object), "measured": measured, "own_state": own, "exact": 50 * measured,
        "advantage": np.full(count, -0.75), "logprob": np.full(count, -0.5), "passes": np.full(count, True),
    }  # fmt: skip


def page(tmp_path, columns, **settings):
    path = tmp_path / "page.html"
    write_token_page(columns, path, **({"title": "A run", "predictions": {"own_state": 1.0, "exact": 0.02}} | settings))
    return Page(path.read_text(encoding="utf-8"))


def data_of(found):
    return json.loads(found.scripts[0])


def test_what_a_model_wrote_stays_text(tmp_path):
    found = page(tmp_path, table(NASTY, problem="</title><script>"), title="<script>alert(0)</script>")
    assert [text.rstrip("\n") for text in found.tokens] == [visible(text) or "(nothing)" for text in NASTY]
    tags = [tag for tag, _ in found.elements]
    assert tags.count("script") == 2
    assert {"img", "iframe", "b", "object"}.isdisjoint(tags)
    assert not [name for _, named in found.elements for name in named if name.startswith("on")]


def test_only_the_pages_own_script_and_style_may_run_and_nothing_is_fetched(tmp_path):
    found = page(tmp_path, table(["a", "b"]))
    (policy,) = (named["content"] for tag, named in found.elements if named.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    for text in (found.scripts[1], found.styles[0]):
        assert f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert not [named for _, named in found.elements if named.keys() & {"src", "href", "style"}]
    assert "http" not in found.scripts[1] + found.styles[0]
    assert "url(" not in found.styles[0]


def test_numbers_arrive_unchanged_and_null_stays_null(tmp_path):
    columns = table(["a", "b", "c"], [-0.123456, 0.0, 4e-7])
    data = data_of(page(tmp_path, columns))
    readings = {each["name"]: each for each in data["readings"]}
    assert list(readings) == ["measured", "own_state", "exact"]
    assert readings["measured"]["values"] == [-0.123456, 0.0, 4e-7]
    assert readings["own_state"]["values"][0] is None
    assert readings["exact"]["values"] == pytest.approx(columns["measured"])  # 50 per step, 0.02 steps
    assert readings["exact"]["label"] == "exact × 0.02"
    facts = {each["label"]: each["values"] for each in data["facts"]}
    assert facts["passes the clip"] == ["yes"] * 3
    assert facts["advantage A"] == [-0.75] * 3
    assert len(page(tmp_path, columns).tokens) == 3


def test_first_colours_are_those_of_the_measured_change(tmp_path):
    found = page(tmp_path, table(["a", "b", "c", "d"], [-0.1, 0.0, 0.0011, np.nan]))
    kinds = [named["class"] for tag, named in found.elements if (named.get("class") or "").startswith("t ")]
    assert data_of(found)["edges"] == [0.0003, 0.001, 0.003, 0.01, 0.03]
    assert kinds == ["t f f5", "t s", "t r r2", "t none"]


def test_gaps_and_order_follow_the_positions(tmp_path):
    columns = table(["later", "first"])
    columns["position"] = np.array([7, 1])
    columns["length"] = np.array([10, 10])
    text = (tmp_path / "page.html", page(tmp_path, columns))[0].read_text(encoding="utf-8")
    assert re.findall(r'title="(\d+) not probed"', text) == ["1", "5", "2"]
    assert text.index(">first<") < text.index(">later<")


def test_responses_are_chosen_by_how_much_moved_one_of_each_problem_first():
    parts = [table(["a", "b"], [size, -size], problem=name) for name, size in (("p1", 0.1), ("p2", 0.3), ("p3", 0.1))]
    second = table(["a", "b"], [0.2, 0.2], problem="p2") | {"sample": np.array([1, 1])}
    columns = {name: np.concatenate([part[name] for part in (*parts, second)]) for name in second}
    keys = [(2, 1, "p2", 0), (2, 1, "p1", 0), (2, 1, "p3", 0), (2, 1, "p2", 1)]
    assert choose_responses(columns, 9) == keys
    assert choose_responses(columns, 2) == keys[:2]


def test_chosen_responses_stand_in_their_order(tmp_path):
    parts = [table(["a"], [0.1], problem=name) for name in ("p1", "p2")]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    page(tmp_path, columns, responses=[(2, 1, "p2", 0), (2, 1, "p1", 0)])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.index("Problem p2") < text.index("Problem p1")
    with pytest.raises(ValueError, match="no probed tokens of the response"):
        page(tmp_path, columns, responses=[(1, 1, "p1", 0)])
    with pytest.raises(ValueError, match="no column 'guess'"):
        page(tmp_path, columns, predictions={"guess": 1.0})


def test_an_empty_table_still_makes_a_page(tmp_path):
    assert page(tmp_path, table([])).tokens == []


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([0.0, np.nan], (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)),
        ([0.32] * 50, (0.003, 0.01, 0.03, 0.1, 0.3)),
        ([-1e-7] * 50, (1e-9, 3e-9, 1e-8, 3e-8, 1e-7)),
        ([0.0] * 99 + [0.3], (0.003, 0.01, 0.03, 0.1, 0.3)),
    ],
)
def test_edges_are_round_and_fit_the_changes(values, edges):
    assert colour_edges(np.array(values)) == edges


def test_text_can_be_read_on_every_colour():
    """WCAG contrast of at least 4.5, in light and dark, and depths that differ."""

    def luminance(colour):
        parts = [part / 255 for part in bytes.fromhex(colour[1:])]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    light, dark = colour_rules().split("@media")
    for rules, ink in ((light, "#1c1c1c"), (dark, "#f2f2ee")):
        colours = dict(re.findall(r"\.([fr]\d)\{background:(#[0-9a-f]{6})\}", rules))
        assert len(colours) == 2 * LEVELS
        for letter in "fr":
            steps = [luminance(colours[f"{letter}{depth}"]) for depth in range(1, LEVELS + 1)]
            assert steps == sorted(steps, reverse=rules is light)
        for colour in colours.values():
            low, high = sorted((luminance(colour), luminance(ink)))
            assert (high + 0.05) / (low + 0.05) >= 4.5


def test_visible():
    assert visible("a\nb\t\u200b\u202e\x00") == "a↵b→⟨U+200B⟩⟨U+202E⟩⟨U+0000⟩"
    assert visible(" <é数>") == " <é数>"
