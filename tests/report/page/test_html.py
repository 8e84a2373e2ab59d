"""The page: one file, nothing fetched, nothing from a run taken for markup; drawn by a browser where there is one."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from steerctl.report.page.html import page, write_page
from steerctl.report.page.methods import group
from steerctl.report.page.report import Asked, make_report
from steerctl.report.page.token_pages import TokenPage
from steerctl.report.tokens import digest, page_hashes
from tests.report.page.runs import spec_of, write_run

NASTY = "<img src=x onerror=alert(1)>"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside, self.raw = [], None, {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in self.raw:
            self.inside = tag
            self.raw[tag].append("")

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.raw[self.inside][-1] += data


def test_nothing_is_fetched_and_only_its_own_script_runs(report):
    found = Page(page(report))
    assert not {"link", "img", "object", "embed", "base"} & {tag for tag, _ in found.elements}
    for _, attributes in found.elements:
        assert not {"src", "style", "onclick", "onload", "onerror"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    policy = next(attributes["content"] for tag, attributes in found.elements if "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert f"'{digest(found.raw['style'][0])}'" in policy
    assert f"'{digest(found.raw['script'][1])}'" in policy
    assert json.loads(found.raw["script"][0])["methods"] == ["grpo", "steer", "wide"]


def test_every_part_is_there(report):
    text = page(report)
    for name in ("found", "curves", "pareto", "settings", "cost", "runs", "reading"):
        assert f'<section id="{name}">' in text
        assert f'href="#{name}"' in text
    assert 'id="tokens"' not in text
    assert "no detectable difference" in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("data-method=") == 3
    assert "<del>none</del><ins>steer {weight_min: 0.7}</ins>" in text


def test_names_and_settings_of_runs_are_text(tmp_path):
    spec = spec_of("grpo", 1) | {"note": f"</code></pre>{NASTY}", "steps": 11}
    records = [write_run(tmp_path, "grpo", 1), write_run(tmp_path, "grpo", 1, name=f"{NASTY}-seed1", spec=spec)]
    text = page(make_report(group(records), Asked(title=f"</title>{NASTY}")))
    assert NASTY not in text
    assert "img" not in {tag for tag, _ in Page(text).elements}
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_one_run_is_a_page_too(tmp_path):
    report = make_report(group([write_run(tmp_path, "grpo", 1, state="interrupted")]), Asked())
    write_page(report, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "One run, seed 1, interrupted after step 10" in text
    assert "no run is finished" in text
    assert "<main>" in text
    assert "data-method=" not in text
    assert "from first to last" in text


def test_token_pages_are_allowed_to_run_their_script(report):
    text = page(report, [TokenPage("a run, step 3", "<!doctype html><p>tokens</p>")])
    policy = next(attributes["content"] for tag, attributes in Page(text).elements if "http-equiv" in attributes)
    assert all(each in policy for each in page_hashes())
    frame = next(attributes for tag, attributes in Page(text).elements if tag == "iframe")
    assert frame["sandbox"] == "allow-scripts"
    assert "<p>tokens</p>" not in text


def test_sixty_runs_stay_small(report):
    data = json.loads(Page(page(report)).raw["script"][0])
    numbers = sum(len(curve["x"]) for panel in data["panels"] for curve in panel.get("curves", []))
    size = len(json.dumps(data["panels"], separators=(",", ":")))
    per_point = size / numbers  # mean, band, and a value of each of four runs
    assert per_point * 200 * len(report.panels) * 15 < 8e6


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_draws_it_without_a_complaint(report, tmp_path):
    path = tmp_path / "page.html"
    write_page(report, path)
    command = [BROWSER, "--headless", "--disable-gpu", "--no-sandbox", "--enable-logging=stderr", "--v=0"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    command += ["--virtual-time-budget=3000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    if done.returncode:
        pytest.skip(f"Chromium does not start here: {done.stderr[-200:]}")
    assert "CONSOLE" not in done.stderr
    assert len(re.findall(r'class="curve c\d d\d"', done.stdout)) >= 3 * len(report.panels)
    assert "3 of 3 shown" in done.stdout
