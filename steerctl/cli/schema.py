"""`steerctl schema`: the JSON Schema of experiment files, and the pages generated from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to FILE instead of the screen.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FOLDER", help="Write config.md and interventions.md."),
    ] = None,
) -> None:
    r"""Write the JSON Schema of experiment files.

    With it, an editor completes and checks them.

    \b
      steerctl schema --out experiment.schema.json

    Then begin an experiment file with this line (VS Code and others with yaml-language-server read it):

    \b
      # yaml-language-server: $schema=experiment.schema.json
    """
    from steerctl.spec.pages import pages
    from steerctl.spec.schema import schema_text
    from steerctl.store.atomic import write_text

    if markdown is not None:
        for name, text in pages().items():
            write_text(markdown / name, text)
    elif out is not None:
        write_text(out, schema_text())
    else:
        print(schema_text(), end="")
