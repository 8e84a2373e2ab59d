"""One file of rollouts, written in parts: killed at any moment it goes on where it was, and nothing is in it twice.

While it is being made, `FILE.parts/` holds `origin.json`, a lock and one parquet file per part. The finished file is
written from the parts in one go, then they are removed. The columns are docs/rollouts.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq

from steerctl.errors import RunFolderError, UserError
from steerctl.store.atomic import TEMPORARY, discard, storage_errors, sweep, write_text, writing
from steerctl.store.lock import Lock
from steerctl.store.sample_rows import differences, json_lines, read_origin

ORIGIN, LOCK, SERVERS = "origin.json", "lock", "servers"
FORMATS = (".parquet", ".jsonl")


class SampleFile:
    """A file of rollouts, held by this process until `close`.

    origin    everything that decides what is in the file, as JSON values; its hash is the file's fingerprint
    path      the finished file
    positions groups whose rollouts are on disk: positions 0 to `positions` - 1
    complete  the finished file is there already, and is of this origin

    Raises:
        UserError: the name ends in neither .parquet nor .jsonl.
        RunFolderError: the file or its parts are of another origin (and may not be replaced: with `overwrite`, only if
            what is there is no file of rollouts), or another process is writing them.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any], *, overwrite: bool = False) -> None:
        if path.suffix not in FORMATS:
            raise UserError(f"{path}: rollouts are written as .parquet or .jsonl; choose one of these endings")
        self.path, self.origin, self.fingerprint = path, origin, fingerprint(origin)
        self.parts = path.with_name(f"{path.name}.parts")
        self.positions, self._lock = 0, None
        self.complete = not overwrite and self._is_there()
        if overwrite and path.exists():
            read_origin(path)  # refuses what is no file of rollouts
        if self.complete and not self.parts.exists():
            return
        with storage_errors(self.parts):
            self.parts.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.parts / LOCK)
        try:
            self._take_over(overwrite=overwrite)
        except BaseException:
            self.close()
            raise

    @property
    def servers(self) -> Path:
        """Where the logs of generation servers are, while the file is being made."""
        return self.parts / SERVERS

    def add(self, table: Any, groups: int) -> None:  # noqa: ANN401 (pyarrow has no types)
        """Keep the next part, the rollouts of so many groups; on disk when this returns."""
        with writing(self.parts / f"part_{self.positions:08d}_{groups}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
        self.positions += groups

    def finish(self) -> None:
        """Write the file from its parts and remove them; until then an older file of this name stays as it was.

        Raises:
            RunFolderError: there are no parts.
        """
        parts = self._found()
        if not parts:
            raise RunFolderError(f"{self.path}: nothing was sampled")
        with writing(self.path) as temporary:
            (_write_parquet if self.path.suffix == ".parquet" else _write_json)(temporary, parts, self.origin)
        self.complete = True
        self._clear()

    def close(self) -> None:
        """Let another process write; may be called twice."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_there(self) -> bool:
        """Whether the finished file is. Raises RunFolderError if it is another one."""
        if not self.path.exists():
            return False
        found = read_origin(self.path)
        if found.fingerprint != self.fingerprint:
            raise _another(self.path, found.record, self.origin)
        return True

    def _take_over(self, *, overwrite: bool) -> None:
        """Under the lock: keep parts of this origin, clear away what an interrupted writer left."""
        sweep(self.parts)
        for leftover in self.path.parent.glob(f"{TEMPORARY}*-{self.path.name}"):
            leftover.unlink(missing_ok=True)
        if self.complete:
            self._clear()
            return
        path = self.parts / ORIGIN
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            if fingerprint(record) != self.fingerprint and not overwrite:
                raise _another(self.parts, record, self.origin)
            if fingerprint(record) != self.fingerprint:
                self._clear()
                with storage_errors(self.parts):
                    self.parts.mkdir()
                self._lock = Lock(self.parts / LOCK)
        write_text(path, json.dumps(self.origin, indent=1) + "\n")
        for part in self._found():
            start, groups = _span(part)
            if start != self.positions:
                raise RunFolderError(f"{self.parts}: position {self.positions} is missing; start anew with --overwrite")
            self.positions += groups

    def _found(self) -> list[Path]:
        return sorted(self.parts.glob("part_*.parquet"))

    def _clear(self) -> None:
        """Remove the parts, and the hold on them."""
        discard(self.parts)
        self.close()


def fingerprint(origin: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of everything that decides what is sampled."""
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]


def _span(part: Path) -> tuple[int, int]:
    """First position and number of groups of a part, from its name."""
    _, start, groups = part.stem.split("_")
    return int(start), int(groups)


def _another(path: Path, found: Mapping[str, Any] | None, own: Mapping[str, Any]) -> RunFolderError:
    differs = f" ({differences(found, own)})" if found is not None else ""
    return RunFolderError(
        f"{path} holds rollouts of another experiment or model{differs}; choose another --out, or replace it with"
        " --overwrite"
    )


def _tables(parts: list[Path]) -> Iterator[Any]:
    for part in parts:
        yield pq.read_table(part)


def _write_parquet(target: Path, parts: list[Path], origin: Mapping[str, Any]) -> None:
    schema = pq.read_schema(parts[0]).with_metadata({"steerctl": json.dumps(origin)})
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for table in _tables(parts):
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def _write_json(target: Path, parts: list[Path], _origin: Mapping[str, Any]) -> None:
    with target.open("w", encoding="utf-8") as file:
        for table in _tables(parts):
            file.writelines(json_lines(table))
