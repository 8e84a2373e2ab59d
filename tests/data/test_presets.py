"""The four protocols."""

from typing import get_args

import pytest

from steerctl.data.presets import BOXED, PRESETS, BenchmarkName, PresetName, asked

QUESTION = "How much is 1 + 1?"


def test_every_preset_is_there():
    assert set(PRESETS) == set(get_args(PresetName))


def test_steer_asks_contests_for_a_line_and_the_rest_for_a_box():
    (turn,) = asked(QUESTION, "aime24", "steer")
    assert turn.content.startswith("Solve the following math problem step by step.")
    assert turn.content.endswith('on its own line after "Answer:".')
    assert "$Answer" in turn.content
    system, user = asked(QUESTION, "math500", "steer")
    assert (system.role, system.content, user.content) == ("system", BOXED, QUESTION)


@pytest.mark.parametrize("benchmark", get_args(BenchmarkName))
def test_the_other_protocols_ask_alike_everywhere(benchmark):
    assert [turn.role for turn in asked(QUESTION, benchmark, "qwen-math")] == ["system", "user"]
    (dapo,) = asked(QUESTION, benchmark, "dapo")
    assert "Answer:" in dapo.content
    (r1,) = asked(QUESTION, benchmark, "r1")
    assert r1.content == f"{QUESTION}\n\n{BOXED}"


def test_the_papers_suite_takes_4647_generations():
    """960 + 960 + 1,280 + 1,447."""
    sizes = {"aime24": 30, "aime25": 30, "amc23": 40, "math500": 500, "minerva": 272, "olympiadbench": 675}
    assert sum(size * PRESETS["steer"].samples_of(name) for name, size in sizes.items()) == 4_647
    assert PRESETS["steer"].samples_of("livecodebench") == 4


def test_sampling():
    assert (PRESETS["steer"].sampling.temperature, PRESETS["steer"].sampling.top_p) == (1.0, 0.7)
    assert PRESETS["qwen-math"].sampling.top_k == 1, "greedy"
    assert PRESETS["r1"].sampling.max_tokens == 32_768
