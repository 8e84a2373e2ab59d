"""Problems to prompt token ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from steerctl.data import ProblemSet
from steerctl.data.templates import TemplateName, Tokenizer, ask, render
from steerctl.errors import DataError
from steerctl.types import Problem


@dataclass(frozen=True, slots=True)
class PreparedProblems:
    """Problems with their prompts, aligned.

    problems    as asked: `prompt` has the template's instruction in it
    prompt_ids  token ids of each prompt, e.g. (151644, 872, ...)
    dropped     rows left out by reason, the data set's own counts included, e.g. {"duplicate": 930, "long_prompt": 2}
    """

    problems: Sequence[Problem]
    prompt_ids: Sequence[tuple[int, ...]]
    dropped: Mapping[str, int] = field(default_factory=dict)


def prepare(
    problem_set: ProblemSet, tokenizer: Tokenizer, template: TemplateName, max_prompt_tokens: int
) -> PreparedProblems:
    """The problems whose prompts have 1 to `max_prompt_tokens` tokens, in order.

    Raises DataError if none is left.
    """
    problems: list[Problem] = []
    prompt_ids: list[tuple[int, ...]] = []
    dropped = Counter(problem_set.dropped)
    for problem in problem_set.problems:
        messages = ask(problem.prompt, template)
        ids = render(messages, tokenizer)
        if not ids:
            dropped["empty_prompt"] += 1
        elif len(ids) > max_prompt_tokens:
            dropped["long_prompt"] += 1
        else:
            problems.append(replace(problem, prompt=messages))
            prompt_ids.append(ids)
    if not problems:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "the data set is empty"
        raise DataError(f"no problem is left to ask ({reasons}); raise data.max_prompt_tokens or name other data")
    return PreparedProblems(problems, prompt_ids, dict(dropped))
