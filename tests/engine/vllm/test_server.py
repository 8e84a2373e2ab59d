"""What a server's log says of its end; the texts are from real logs of vLLM 0.32. Processes: test_generator.py."""

from steerctl.engine.vllm.server import explanation

ENGINE = """\
(EngineCore pid=77) ERROR 11-23 09:40:11 [core.py:981]     raise ValueError(
(EngineCore pid=77) ERROR 11-23 09:40:11 [core.py:981] ValueError: No available memory for the cache blocks.
(APIServer pid=70) Traceback (most recent call last):
(APIServer pid=70)   File "x.py", line 3, in main
(APIServer pid=70) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
guardian: server ended by itself, exit code 1
"""
VALIDATION = """\
(APIServer pid=70) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=70)   Value error, User-specified max_model_len (9) is greater than the derived max_model_len
(APIServer pid=70)     For further information visit https://errors.pydantic.dev
"""
USAGE = """\
usage: api_server.py [-h] [--headless]
api_server.py: error: unrecognized arguments: --no-such-option
"""


def test_the_root_cause_and_not_its_echo() -> None:
    assert explanation(ENGINE) == "ValueError: No available memory for the cache blocks."


def test_a_validation_error_is_given_with_what_is_not_valid() -> None:
    assert explanation(VALIDATION).endswith(
        "for ModelConfig: Value error, User-specified max_model_len (9) is greater than the derived max_model_len"
    )


def test_a_refused_option() -> None:
    assert explanation(USAGE) == "api_server.py: error: unrecognized arguments: --no-such-option"


def test_an_end_without_an_error() -> None:
    assert explanation("INFO 11-23 09:40:11 [x.py:1] loading\n\nguardian: server stopped\n") == "loading"
    assert explanation("") == "it said nothing"
