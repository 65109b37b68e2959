"""A stand-in for KFP's API server, in a process or thread of its own: v2beta1 over HTTP, state in memory.

It keeps what KFP keeps (experiments, pipelines, versions, runs, recurring runs, page tokens, filters by display name)
and executes nothing: a test says how a run ends. Requests can be made to fail before or after they took effect.
"""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BASE = "/apis/v2beta1/"
KINDS = {
    "experiments": ("experiments", "experiment_id"),
    "pipelines": ("pipelines", "pipeline_id"),
    "runs": ("runs", "run_id"),
    "recurringruns": ("recurringRuns", "recurring_run_id"),
    "versions": ("pipeline_versions", "pipeline_version_id"),
}


class FakeKfp:
    """The server; `tables` is its state."""

    def __init__(self, ends_at_once: bool = False) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.lock = threading.RLock()
        # What was deleted, and how it was asked for.
        self.deletions: list[tuple[str, dict[str, list[str]]]] = []
        # Statuses to answer the next creations of runs with, before (-) or after (+) the run was made.
        self.failures: list[int] = []
        # Whether somebody else uploads the next version a moment before.
        self.faster = False
        self.ends_at_once = ends_at_once
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(outer.get(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if "/upload" in self.path:
                    self._answer(outer.uploaded(self.path, body))
                else:
                    self._answer(outer.post(self.path, json.loads(body or b"{}")))

            def do_DELETE(self) -> None:
                self._answer(outer.delete(self.path))

            def _answer(self, what: tuple[int, Any]) -> None:
                status, document = what
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def upload(self, name: str, *versions: str) -> None:
        """A pipeline with versions, oldest first."""
        with self.lock:
            pipeline = self._add("pipelines", {"display_name": name})
            for version in versions:
                self._add("versions", {"display_name": version, "pipeline_id": pipeline["pipeline_id"]})

    def runs(self, state: str | None = None) -> list[dict[str, Any]]:
        with self.lock:
            return [dict(run) for run in self.tables["runs"] if state in (None, run["state"])]

    def end(self, state: str, which: int = -1) -> dict[str, Any]:
        """Let a run end."""
        with self.lock:
            run = self.tables["runs"][which]
            run["state"] = state
            return dict(run)

    def get(self, path: str) -> tuple[int, Any]:
        parts = urlsplit(path)
        names = parts.path.removeprefix(BASE).split("/")
        if names == ["healthz"]:
            return 200, {"multi_user": False}
        kind = "versions" if names[-1] == "versions" else names[0]
        with self.lock:
            if names[-1] not in KINDS:
                found = [row for row in self.tables[kind] if row[KINDS[kind][1]] == names[-1]]
                return (200, found[0]) if found else (404, {"error": "not found"})
            return 200, self._page(kind, names, parse_qs(parts.query))

    def _page(self, kind: str, names: list[str], query: dict[str, list[str]]) -> dict[str, Any]:
        rows = self.tables[kind]
        if kind == "versions":
            rows = [row for row in rows if row["pipeline_id"] == names[1]]
        if "experiment_id" in query:
            rows = [row for row in rows if row["experiment_id"] == query["experiment_id"][0]]
        for predicate in json.loads(query["filter"][0])["predicates"] if "filter" in query else []:
            assert predicate["operation"] in (1, "EQUALS")
            assert predicate["key"] == "display_name"
            rows = [row for row in rows if row["display_name"] == predicate["stringValue"]]
        start, size = int(query.get("page_token", ["0"])[0] or 0), int(query.get("page_size", ["10"])[0])
        following = str(start + size) if start + size < len(rows) else ""
        return {KINDS[kind][0]: rows[start : start + size], "next_page_token": following}

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        kind = path.removeprefix(BASE)
        with self.lock:
            failure = self.failures.pop(0) if kind == "runs" and self.failures else 0
            if failure < 0:
                return -failure, {"error": "before"}
            if kind == "runs":
                body = {**body, "state": "SUCCEEDED" if self.ends_at_once else "RUNNING"}
            made = self._add(kind, body)
            return (failure, {"error": "after"}) if failure else (200, made)

    def uploaded(self, path: str, body: bytes) -> tuple[int, Any]:
        """A pipeline with a version of its own name, or a version of a pipeline, and the file that was sent."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
        with self.lock:
            if urlsplit(path).path.endswith("/upload_version"):
                row = {
                    "display_name": query["name"],
                    "pipeline_id": query["pipelineid"],
                    "description": query.get("description", ""),
                    "file": body.decode(),
                }
                if self.faster:
                    self.faster = False
                    self._add("versions", row)
                    return 409, {"error": "Failed to create a pipeline version"}
                return 200, self._add("versions", row)
            self.upload(query["name"], query["name"])
            return 200, self.tables["pipelines"][-1]

    def delete(self, path: str) -> tuple[int, Any]:
        parts = urlsplit(path)
        kind, _, number = parts.path.removeprefix(BASE).partition("/")
        with self.lock:
            self.deletions.append((kind, parse_qs(parts.query)))
            self.tables[kind] = [row for row in self.tables[kind] if row[KINDS[kind][1]] != number]
            return 200, {}

    def _add(self, kind: str, row: dict[str, Any]) -> dict[str, Any]:
        row = {**row, KINDS[kind][1]: str(uuid.uuid4()), "created_at": datetime.now(UTC).isoformat()}
        self.tables[kind].append(row)
        return row
