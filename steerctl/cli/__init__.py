"""The command line: one file per command. A command parses, calls, prints; it imports what it needs in its body.

A module of this package holds either a function of its own name (the command) or `app`, a Typer group. Nothing but
typer may be imported at the top of these modules: `steerctl --help` must answer at once.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from steerctl import __version__
from steerctl.errors import SteerctlError

ORDER = ("train", "sweep", "rollout", "eval", "analyze", "report", "runs", "check", "doctor", "interventions", "schema")
INTERRUPTED = 130
UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What typer raises for a command line that it cannot read; typer does not name it in public."""

HELP = """\
Train a policy by reinforcement learning with verifiable rewards, and see what happens to its entropy.

An experiment is one YAML file; any of its values can be changed on the command line.

\b
  steerctl check experiments/quickstart/grpo.yaml
  steerctl train experiments/quickstart/grpo.yaml steps=20 optim.lr=2e-6
  steerctl train --resume runs/quickstart-grpo

Exit codes: 0 done, 1 an engine or the disk failed, 2 something you can mend, 130 interrupted.
"""


class _InOrder(TyperGroup):
    """Commands as in `ORDER`; typer lists those that have commands of their own last."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 (typer has a click of its own)
        return sorted(super().list_commands(ctx), key=_place)


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"steerctl {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options of `steerctl` itself."""


def _help(command: Callable[..., object]) -> str:
    r"""The docstring; a line `\b` keeps the lines below it as they are."""
    return inspect.cleandoc(command.__doc__ or "").replace("\\b\n", "\b\n")


def build() -> typer.Typer:
    """The application with every command found in this folder."""
    app = typer.Typer(
        cls=_InOrder,
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(help=HELP)(_root)
    found = {info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")}
    for name in sorted(found, key=_place):
        module = importlib.import_module(f"{__name__}.{name}")
        group = getattr(module, "app", None)
        if isinstance(group, typer.Typer):
            for inner in group.registered_commands:
                inner.help = _help(inner.callback) if inner.callback else None
            app.add_typer(group, name=name)
        else:
            command = getattr(module, name)
            app.command(name, help=_help(command), no_args_is_help=name == "train")(command)
    return app


def main() -> None:
    """`steerctl`: an error made on purpose is one line and its exit code; any other keeps its traceback."""
    code = _answer()
    if "torch.distributed" in sys.modules and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from steerctl.engine.ranks import end_rank

        end_rank(code)
    sys.exit(code)


def _answer() -> int:
    """Do what the command line says; the exit code."""
    try:
        code = build()(prog_name="steerctl", standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (SteerctlError, UsageError) as error:
        print(error if isinstance(error, SteerctlError) else _usage(error), file=sys.stderr)
        return getattr(error, "exit_code", 2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone; say no more
        return 1
    except Exception:  # noqa: BLE001 (the last stop: shown in full, with a word on what it is)
        traceback.print_exc()
        print(
            "\nsteerctl stopped at an error it does not know: the fault above is its own, not yours.\n"
            "If a run was under way, its folder holds a log and its last checkpoint: `steerctl train --resume RUN`.",
            file=sys.stderr,
        )
        return 1
    return code if isinstance(code, int) else 0


def _usage(error: Any) -> str:  # noqa: ANN401 (typer has a click of its own)
    """One line, and where to look; the help itself where a command was named and nothing else."""
    text = error.format_message().replace("Value error, ", "")
    path = error.ctx.command_path if error.ctx else "steerctl"
    return text if "\n" in text else f"{text}{'' if text[-1] in '.?)' else '.'} See {path} --help."
