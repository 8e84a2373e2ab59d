"""What `steerctl runs list` and `steerctl runs show` print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from steerctl.metrics.catalogue import metrics as catalogue
from steerctl.report.compare import settings_of
from steerctl.store.record import RunRecord

STATES = {"finished": "green", "running": "cyan", "interrupted": "yellow", "failed": "red"}


LISTED = {"reward": "reward/mean", "entropy": "policy/entropy/mean"}
"""Columns of the list: metrics of the last step."""


def list_table(records: Sequence[RunRecord], sort: str | None = None) -> Table:
    """One row per run; a metric that the list is sorted by has a column of its own."""
    key = (sort or "").removeprefix("-")
    columns = LISTED | ({key: key} if "/" in key and key not in LISTED.values() else {})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "state"):
        table.add_column(title, overflow="fold")
    for title in ("step", *columns, "created"):
        table.add_column(title.replace("/", "/\n"), justify="right")
    for record in records:
        lines = record.read_metrics()
        last = lines[-1] if lines else {}
        table.add_row(
            Text(str(record.path)),
            _state(record),
            str(record.status.step),
            *(_number(last.get(name, math.nan)) for name in columns.values()),
            str(record.environment.get("created", "-"))[:16].replace("T", " "),
        )
    return table


def run_tables(record: RunRecord) -> list[Table]:
    """Origin and files of a run, then every metric of its last step with its unit."""
    return [_facts(record), _last_step(record)]


def run_json(record: RunRecord) -> dict[str, Any]:
    """Everything `run_tables` says, the whole environment and the last step's metrics; null where not finite."""
    status, found, rollouts = record.status, record.latest_checkpoint(), record.rollout_steps()
    lines = record.read_metrics()
    return {
        "name": record.name, "path": str(record.path),
        "state": status.state, "step": status.step, "error": status.error,
        "settings": settings_of(record), "environment": record.environment,
        "checkpoint": str(found.path) if found else None,
        "model": str(record.model) if record.model.exists() else None,
        "rollouts": rollouts, "last": {key: _finite(value) for key, value in lines[-1].items()} if lines else {},
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _facts(record: RunRecord) -> Table:
    environment, status = record.environment, record.status
    code = environment.get("code") or {}
    found = record.latest_checkpoint()
    rollouts = record.rollout_steps()
    facts = {
        "run": str(record.path),
        "state": f"{status.state} after step {status.step}" + (f": {status.error}" if status.error else ""),
        "command": " ".join(environment.get("command", [])),
        "code": f"{code.get('commit', 'unknown')}{' with changes' if code.get('changed') else ''}",
        "packages": ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items()),
        "checkpoint": str(found.path) if found else "none",
        "model": str(record.model) if record.model.exists() else "not exported",
        "rollouts": f"steps {rollouts[0]} to {rollouts[-1]} ({len(rollouts)} kept)" if rollouts else "none",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in facts.items():
        table.add_row(label, Text(text, style=STATES[status.state] if label == "state" else ""))
    return table


def _last_step(record: RunRecord) -> Table:
    lines = record.read_metrics()
    last = lines[-1] if lines else {}
    known = catalogue()
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column(f"step {last['step']:.0f}" if last else "no finished step", overflow="fold")
    table.add_column("", justify="right")
    table.add_column("unit", style="dim")
    for key, value in last.items():
        if key != "step":
            table.add_row(key, _number(value), known[key].unit if key in known else "")
    return table


def _state(record: RunRecord) -> Text:
    return Text(record.status.state, style=STATES[record.status.state])


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"
