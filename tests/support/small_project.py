"""A small project with real networks, a journal and an MLflow store, without the steps that train."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.cli import app
from evernas.config import Config, load_config
from evernas.data import Samples as Loaded
from evernas.errors import EvernasError
from evernas.gate import Evidence, Measured, decide
from evernas.hardware.runtime import runtime_named
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.keys import signing_key
from evernas.registry.models import model_name
from evernas.registry.opening import open_journal
from evernas.registry.tracking import client
from evernas.registry.verdicts import Statement, expiry, moment, sign
from evernas.state import Done, Guard, Home, RunManifest
from evernas.steps import gate, judging
from evernas.steps.accounting import Account
from evernas.steps.answers import ANSWERS, QUESTIONS, answer, write_questions
from evernas.steps.context import Context
from evernas.steps.decision import policy_digest, read_decision
from evernas.steps.evidence import evidence_digest, evidence_document
from evernas.steps.loading import KEPT_TABLE, champion
from evernas.steps.progress import Progress

BENCHMARK = {
    "restarts": 2,
    "seconds": 0.02,
    "warmup_seconds": 0.01,
    "max_variation": 50.0,
    "min_cpu_share": 0,
    "cold_starts": 0,
    "load_clients": [],
}

LABELS = ["walk", "run"]
CHANNELS, LENGTH = 2, 16


def network(seed: int, *, time_first: bool = False, batch: int | str = "n", answer: str = "scores") -> bytes:
    """A network of the mean over time, for either layout; another one for each seed."""
    shape = [batch, LENGTH, CHANNELS] if time_first else [batch, CHANNELS, LENGTH]
    weights = np.random.default_rng(seed).normal(size=(CHANNELS, 2)).astype(np.float32)
    axis = 1 if time_first else 2
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[axis], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [answer], axis=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "of a test",
        [info("input", TensorProto.FLOAT, shape)],
        [info(answer, TensorProto.FLOAT, [batch, 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


@dataclass
class Place:
    """A project in the shared state folder, with the commands that a person gives."""

    home: Home
    path: Path
    project: str

    @property
    def config(self) -> Config:
        return load_config(self.path)

    @property
    def journal(self) -> Journal:
        return open_journal(self.home, self.config)

    @property
    def head(self) -> Entry:
        head = self.journal.head("laptop")
        assert head is not None
        return head

    def change(self, **sections: Any) -> None:
        self.path.write_text(yaml.safe_dump({**yaml.safe_load(self.path.read_text()), **sections}))

    def evernas(self, *arguments: object) -> tuple[int, str]:
        """The exit code, and all that was said."""
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(done.exception, EvernasError):
            return done.exception.exit_code, done.output + str(done.exception)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    def bundle(self, seed: int) -> Bundle:
        model = network(seed)
        inputs = np.random.default_rng(seed).normal(size=(2, CHANNELS, LENGTH)).astype(np.float32)
        scores = runtime_named("onnxruntime-cpu").load(model, 1).run(inputs)
        record = {"id": f"arch-{seed}", "genes": [], "choices": {}, "blocks": [], "macs": 1, "parameters": 4}
        extra = {"architecture": None, "architecture_record": record, "snapshot": "5" * 64, "supernet": "6" * 64}
        contract = Contract(("x", "y"), (LENGTH,))
        return write_bundle(self.home.bundles(self.project), model, LABELS, contract, Samples(inputs, scores), extra)

    def verdict(self, bundle: Bundle, run: str = "run-1", **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A signed verdict that promotes a bundle by real evidence, and the evidence."""
        rng = np.random.default_rng(0)
        domains = np.repeat([f"person-{n}" for n in range(8)], 60)
        groups = np.asarray([f"{domain}-{i % 6}" for i, domain in enumerate(domains)])
        shown = Evidence(
            Measured(
                "c",
                rng.random(480) < 0.95,
                latency_ms=[1.0, 1.01],
                latency_p95_ms=[1.1, 1.1],
                size_kb=1.0,
                robust_error=0.2,
                worst_domain_error=0.2,
            ),
            None,
            np.ones(480, dtype=int),
            domains,
            groups,
        )
        options = {"seed": 3, "domain_noun": "people"}
        config = self.config
        found = decide(shown, config.gate, config.constraints, **options)
        document = evidence_document(shown, options)
        head = self.journal.head("laptop")
        made_at, expires_at = expiry(moment(), 72)
        statement = Statement(
            project=self.project,
            device="laptop",
            run=run,
            outcome=found.outcome,
            verdict=found.to_json(),
            candidate=bundle.digest,
            candidate_model=bundle.model_digest,
            champion=None if head is None else head.bundle,
            champion_model=None,
            policy=policy_digest(config, "laptop"),
            gate_split="9" * 64,
            evidence=evidence_digest(document),
            journal=0 if head is None else head.number,
            made_at=made_at,
            expires_at=expires_at,
        )
        return sign(replace(statement, **changes), signing_key(config.registry, self.home)), document

    def write(self, name: str, document: Any) -> Path:
        path = self.path.parent / name
        path.write_text(json.dumps(document))
        return path

    def promote(self, bundle: Bundle, run: str = "run-1", **changes: Any) -> tuple[int, str]:
        file = self.write(f"{run}.json", self.verdict(bundle, run, **changes)[0])
        return self.evernas("promote", self.path, "--verdict", file)

    def aliases(self) -> dict[str, str]:
        found = client(self.home).get_registered_model(model_name(self.project)).aliases
        return {alias: str(version) for alias, version in found.items()}


def project_in(home: Home, folder: Path) -> Place:
    """A project of its own in this state folder, its config in `folder`."""
    project = f"p{abs(hash(str(folder))) % 10**9}"
    document = {
        "project": project,
        "data": {
            "source": str(folder),
            "signal": {"channels": ["x", "y"], "length": LENGTH, "stride": 8},
            "labels": LABELS,
            "splits": {"gate": ["g"], "search": ["s"]},
        },
        "devices": [{"name": "laptop"}],
        "benchmark": BENCHMARK,
        "space": {"stage_widths": [[8]]},
    }
    (folder / "evernas.yaml").write_text(yaml.safe_dump(document))
    return Place(home, folder / "evernas.yaml", project)


PEOPLE, RECORDINGS, WINDOWS = [f"person-{n}" for n in range(8)], 5, 30


def people_of(truth: bytes) -> Loaded:
    """Windows of noise of eight people, labelled by a network: its answers are all right, another's are not."""
    count = len(PEOPLE) * RECORDINGS * WINDOWS
    x = np.random.default_rng(0).normal(size=(count, CHANNELS, LENGTH)).astype(np.float32)
    y = runtime_named("onnxruntime-cpu").load(truth, 1).run(x).argmax(1)
    names = np.repeat(PEOPLE, RECORDINGS * WINDOWS)
    recordings = np.tile(np.repeat([f"r{n}" for n in range(RECORDINGS)], WINDOWS), len(PEOPLE))
    return Loaded(x, y, tuple(names), tuple(recordings), tuple(map(str, range(count))))


def context_of(place: Place, run: str, step: str, guard: Guard) -> Context:
    """A step of a run that began at the journal's head; its account is closed by whoever does the step."""
    head, folder = place.journal.head("laptop"), place.home.run(run)
    numbers = {} if head is None else {"laptop": head.number}
    manifest = RunManifest.open(place.home, run, place.config, "source", numbers)
    account, progress = Account(folder, step, "laptop", guard), Progress(folder / "progress.jsonl", step, "laptop")
    return Context(place.home, manifest, "laptop", guard, account, progress, step)


def judge(
    place: Place,
    run: str,
    candidate: Bundle,
    split: Loaded,
    guard: Guard,
    measurement: dict[str, Any],
    robustness: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The gate step on real networks, with all that the steps before it leave; what it decided.

    `measurement` is that of every network, `robustness` what the candidate does under corruptions.
    """
    context = context_of(place, run, "gate", guard)
    holder = champion(context)

    def done(step: str, facts: dict[str, Any], *outputs: str) -> Done:
        ref = f"{step}/{run}"
        return context.store.finish(Done(ref, context.store.workspace(ref), facts, {}, run), list(outputs), guard)

    labels = context.config.data.labels
    rows = [
        {"split": "gate", "domain": d, "recording": r, "label": labels[y]}
        for d, r, y in zip(split.domains, split.recordings, split.y, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), context.store.workspace(f"validate/{run}") / KEPT_TABLE)
    done("validate", {"splits": {"gate": dict.fromkeys(PEOPLE, 1)}, "kept": {"gate": run}}, KEPT_TABLE)
    write_questions(context.store.workspace(f"finalists/{run}"), split.x)
    finalists = done(
        "finalists",
        {
            "finalists": [
                {"bundle": candidate.digest, "error": 0.1, "error_by_domain": {"a": 0.1}, "robustness": robustness}
            ],
            "search": f"search/{run}",
        },
        QUESTIONS,
    )
    models = [candidate, *([] if holder is None else [holder.bundle])]
    answers = answer(context, finalists, models, context.store.workspace(f"benchmark/{run}"))
    measured = {bundle.digest: measurement for bundle in models}
    done("benchmark", {"measurements": measured, "answers": answers}, ANSWERS)
    with pytest.MonkeyPatch.context() as patch:
        for module in (gate, judging):
            patch.setattr(module, "samples", lambda context, validated, name: split)
        gate.run(context, f"validate/{run}", f"finalists/{run}", f"benchmark/{run}")
    context.account.close()
    return read_decision(context)
