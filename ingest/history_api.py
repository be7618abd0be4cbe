"""The history over HTTP: `GET /history`, `GET /last`, `GET /tags` on ingest's loopback interface."""

from __future__ import annotations

import csv
import io
import tempfile
import threading
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from ingest.history import Answer, History
from ingest.manifest import HistoryError
from ingest.segments import load

FIELDS = ("t", "tag", "value", "n", "source", "lineage")
MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


class Opened:
    """The history of a folder, opened when it is first asked for; ModuleNotFoundError where duckdb is not installed."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._history: History | None = None
        self._lock = threading.Lock()

    def get(self) -> History:
        """The one history of this process."""
        with self._lock:
            if self._history is None:
                self._history = History(self._data)
            return self._history


def routes(data: Path) -> APIRouter:
    """The routes; they run in threads, so that a long question does not hold up what ingest has to answer."""
    router = APIRouter()
    opened = Opened(data)

    @router.get("/history")
    def history(
        tag: list[str] = Query(),  # noqa: B008 - how FastAPI declares a repeated parameter
        start: int = Query(alias="from"),
        end: int = Query(alias="to"),
        step: int | None = None,
        agg: str = "auto",
        format: str = "json",  # noqa: A002 - its name in the address
    ) -> Response:
        if format not in {"json", *MEDIA}:
            return _refused(422, f"format: expected json, csv or parquet, found {format}")
        try:
            answer = opened.get().query(tag, start, end, step, agg)
        except ValueError as error:
            return _refused(422, str(error))
        except (HistoryError, ModuleNotFoundError) as error:
            return _refused(503, str(error))
        if format == "json":
            return JSONResponse({"step": answer.step, "agg": answer.aggregate, "series": answer.series()})
        body = as_csv(answer) if format == "csv" else as_parquet(answer)
        return Response(body, media_type=MEDIA[format])

    @router.get("/last")
    def last(tag: list[str] = Query(default=[])) -> Response:  # noqa: B008
        try:
            found = opened.get().last(tag)
        except (HistoryError, ModuleNotFoundError) as error:
            return _refused(503, str(error))
        fields = ("tag", "t", "value", "quality", "unit", "type", "source", "lineage")
        return JSONResponse({"last": [{name: getattr(one, name) for name in fields} for one in found]})

    return router


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)


def fields(answer: Answer) -> tuple[str, ...]:
    """The columns of an answer's rows: without a step the fourth is the quality."""
    return tuple("quality" if name == "n" and answer.step is None else name for name in FIELDS)


def as_csv(answer: Answer) -> bytes:
    """The rows with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields(answer))
    writer.writerows(answer.rows)
    return out.getvalue().encode()


def as_parquet(answer: Answer) -> bytes:
    """The rows as a Parquet file (zstd)."""
    from ingest.rollup import quoted
    from ingest.segments import connect

    kinds = ("BIGINT", "VARCHAR", "DOUBLE", "BIGINT", "VARCHAR", "VARCHAR")
    columns: dict[str, tuple[str, list[Any]]] = {
        name: (kind, [row[k] for row in answer.rows])
        for k, (name, kind) in enumerate(zip(fields(answer), kinds, strict=True))
    }
    with connect() as db, tempfile.TemporaryDirectory() as folder:
        load(db, "answer", columns)
        path = Path(folder) / "answer.parquet"
        db.execute(f"COPY answer TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd)")
        return path.read_bytes()
