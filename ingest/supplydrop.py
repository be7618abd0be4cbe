"""A folder into which CSV files of supply documents are put: taken when complete, then moved to done/ or rejected/.

One row is one document; the head names the fields of `/supply` (docs/wire.md). Times are UTC milliseconds or ISO
dates with a zone. A file with a row that cannot be understood is not taken at all and goes to `rejected/` beside
`NAME.why.txt`, which names the lines: correct them and put it there again. What was taken before a kill is known by
document and version, so that taking a file twice changes nothing.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ingest.journal import JournalError, write_atomic
from ingest.payloads import Supply, WireError, encode, parse

MAX_BYTES = 32 * 2**20
MAX_ROWS = 200_000
STILL_S = 2.0
"""A file that has not changed for so long is complete. Names that begin with a dot, or end with .part or .tmp, wait."""
WAIT_S = 30.0
NUMBERS = ("quantity",)
TIMES = ("issued", "due")
FIELDS = tuple(Supply.__struct_fields__)

Submit = Callable[[Supply, bytes], "Future[dict[str, Any]]"]
"""Takes a document into the journal; its future gives `duplicate`, or fails with WireError or JournalError."""


class Rejected(ValueError):  # noqa: N818 - the name of an outcome
    """A file that is not taken. `lines` are (line number, why)."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        super().__init__(f"{len(lines)} lines cannot be understood; the first: line {lines[0][0]}: {lines[0][1]}")
        self.lines = lines


class Drop:
    """`scan()` now and then, from one thread; `say` tells what became of each file."""

    def __init__(self, folder: Path, submit: Submit, say: Callable[[str], None]) -> None:
        self.folder, self._submit, self._say = folder, submit, say
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        for name in ("", "done", "rejected"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def scan(self) -> int:
        """Take the files that are complete; returns how many."""
        names = set()
        taken = 0
        for path in sorted(self.folder.glob("*")):
            if not path.is_file() or path.name.startswith(".") or path.suffix in (".part", ".tmp"):
                continue
            names.add(path.name)
            if self._complete(path):
                taken += self._take(path)
        for gone in self._seen.keys() - names:
            del self._seen[gone]
        return taken

    def _complete(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        stamp, now = (found.st_mtime_ns, found.st_size), time.monotonic()
        known = self._seen.get(path.name)
        if known is None or known[0] != stamp:
            self._seen[path.name] = (stamp, now)
            return False
        return now - known[1] >= STILL_S

    def _take(self, path: Path) -> bool:
        try:
            documents = read_rows(path)
        except OSError as error:
            self._say(f"{path}: cannot be read ({error.strerror}); tried again")
            return False
        except Rejected as error:
            self._reject(path, error)
            return True
        try:
            new = self._journal(documents)
        except (JournalError, TimeoutError) as error:
            self._say(f"{path}: waits, nothing can be written now ({error})")
            return False
        except Rejected as error:
            self._reject(path, error)
            return True
        self._move(path, "done")
        self._say(f"{path.name}: {len(documents)} documents, {new} of them new")
        return True

    def _journal(self, documents: list[tuple[int, Supply]]) -> int:
        new, failed = 0, []
        for begin in range(0, len(documents), 500):
            chunk = documents[begin : begin + 500]
            waiting = [(line, self._submit(doc, encode(doc))) for line, doc in chunk]
            for line, future in waiting:
                try:
                    new += not future.result(WAIT_S)["duplicate"]
                except WireError as error:
                    failed.append((line, error.detail))
        if failed:
            raise Rejected(failed)
        return new

    def _reject(self, path: Path, error: Rejected) -> None:
        text = "".join(f"line {line}: {why}\n" for line, why in error.lines)
        target = self._move(path, "rejected")
        write_atomic(target.with_name(f"{target.name}.why.txt"), text.encode())
        self._say(f"{path.name}: not taken, see {target}.why.txt ({error})")

    def _move(self, path: Path, where: str) -> Path:
        target = self.folder / where / path.name
        if target.exists():
            target = target.with_name(f"{path.stem}-{time.time_ns() // 1_000_000}{path.suffix}")
        path.replace(target)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self._seen.pop(path.name, None)
        return target


def read_rows(path: Path) -> list[tuple[int, Supply]]:
    """(line, document) of every row; raises Rejected naming every line that is wrong, or OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise Rejected([(1, f"the file has more than {MAX_BYTES // 2**20} MiB; split it")])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejected([(1, f"expected UTF-8, byte {error.start} is not")]) from None
    try:
        dialect: Any = csv.Sniffer().sniff(text.partition("\n")[0], ",;\t")
    except csv.Error:
        dialect = csv.excel
    reader = csv.DictReader(io.StringIO(text), dialect=dialect, strict=True)
    try:
        head = [name.strip() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise Rejected([(1, f"the head cannot be read: {error}")]) from None
    strange = [name for name in head if name not in FIELDS]
    if strange or not {"doc", "version", "kind", "issued"} <= set(head):
        raise Rejected([(1, f"expected a head of doc, version, kind, issued and of {', '.join(FIELDS)}; found {head}")])
    reader.fieldnames = head
    found, wrong = [], []
    try:
        for row in reader:
            try:
                found.append((reader.line_num, _document(row)))
            except (WireError, ValueError) as error:
                wrong.append((reader.line_num, getattr(error, "detail", str(error))))
            if len(found) + len(wrong) > MAX_ROWS:
                raise Rejected([(reader.line_num, f"more than {MAX_ROWS} rows; split the file")])
    except csv.Error as error:
        wrong.append((reader.line_num, str(error)))
    if wrong:
        raise Rejected(wrong)
    return found


def _document(row: dict[Any, Any]) -> Supply:
    if None in row or any(value is None for value in row.values()):
        raise ValueError("the row has another number of cells than the head")
    fields: dict[str, Any] = {name: value.strip() for name, value in row.items() if value.strip()}
    if "version" in fields:
        fields["version"] = _whole("version", fields["version"])
    for name in NUMBERS:
        if name in fields:
            fields[name] = _number(name, fields[name])
    for name in TIMES:
        if name in fields:
            fields[name] = _time(name, fields[name])
    found: Supply = parse("supply", msgspec.json.encode(fields))
    return found


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name}: expected a whole number, found {text!r}") from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number with a decimal point, found {text!r}") from None


def _time(name: str, text: str) -> int:
    if text.isdigit() and len(text) >= 12:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: expected UTC milliseconds or 2026-01-05T08:00+01:00, found {text!r}") from None
    if found.tzinfo is None:
        raise ValueError(f"{name}: {text!r} names no zone; write for example {text}Z")
    return round(found.timestamp() * 1000)
