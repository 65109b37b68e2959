"""The gate step: sends one candidate to the gate, and keeps what the gate tells of it."""

from __future__ import annotations

from typing import Any

from evernas.bundle import Bundle, load_bundle
from evernas.config import Config
from evernas.data import Samples
from evernas.digest import digest_value
from evernas.errors import IntegrityError
from evernas.gate import Finalist, held, select_candidate
from evernas.gate.evidence import EXACT
from evernas.hardware.figures import TAKES, middle
from evernas.registry.bundles import bundle_folder
from evernas.state import Done
from evernas.state.files import write_json
from evernas.state.sharing import share
from evernas.steps import judging
from evernas.steps.anchor import anchor_digest, load_anchor
from evernas.steps.context import Context, Setting, Work, objectives_of
from evernas.steps.decision import CHAMPION, decision_path, is_open, read_decision, sign_decision
from evernas.steps.evidence import EVIDENCE
from evernas.steps.finalists import contract_of
from evernas.steps.incidents import INCIDENT, champion_figures, incidents
from evernas.steps.judging import Judged
from evernas.steps.loading import Champion, champion, samples
from evernas.steps.predictions import errors_by_domain, scores_of
from evernas.steps.quality import loss_of, share_of
from evernas.steps.robustness import robust_metrics, robustness_of, searched_figures


def run(context: Context, validated: str, finalists: str, benchmarked: str) -> str:
    """`promote` or `hold`; the verdict and its candidate are kept for the steps that follow."""
    data, chosen, measured = (context.store.get(ref) for ref in (validated, finalists, benchmarked))
    holder = champion(context)
    if _already_promoted(context):
        # Killed after its promotion: the decision stands, and is not taken again beside the old champion.
        context.progress.end("decided before this run was stopped", reused=True)
        return str(read_decision(context)["verdict"]["outcome"])
    moved = _journal_moved(context)
    if moved is not None:
        return _hold_unread(context, data, "journal", moved)
    if holder is not None and holder.fault is not None:
        # What was measured without it is not taken once it can be loaded again.
        context.store.unsettle(measured.ref, context.manifest.run, context.guard)
        return _hold_unread(context, data, CHAMPION, holder.fault)
    other = incomparable(context)
    if other is not None:
        return _hold_unread(context, data, "comparable", other)
    lost = _anchor_lost(context)
    if lost is not None:
        return _hold_unread(context, data, "anchor", lost)
    inputs = gate_inputs(context, data, chosen, measured)
    ref = context.ref("gate", inputs)
    done = context.perform(
        inputs, lambda folder: _work(context, ref, data, chosen, measured, holder), lambda done: _log(context, done)
    )
    facts = done.facts
    if is_open(context.device, facts["verdict"]):
        # Before the decision is kept: a run that is killed in between comes here again.
        context.store.unsettle(measured.ref, context.manifest.run, context.guard)
    _keep(
        context,
        {
            "candidate": facts["candidate"],
            "verdict": facts["verdict"],
            "ref": done.ref,
            "champion_search": facts["champion_search"],
            "incidents": facts["incidents"],
            **_strata(data),
        },
    )
    return str(facts["verdict"]["outcome"])


def gate_inputs(setting: Setting, validated: Done, finalists: Done, benchmarked: Done) -> dict[str, Any]:
    """All that a verdict depends on."""
    holder = champion(setting)
    return {
        "finalists": finalists.ref,
        "benchmark": benchmarked.ref,
        # By what was measured too: a device that was too busy is measured again under the same key.
        "measurements": digest_value(benchmarked.facts["measurements"]),
        "gate": validated.facts["kept"]["gate"],
        "champion": None if holder is None else holder.entry.bundle,
        "anchor": anchor_digest(setting),
        "journal": setting.manifest.journal.get(setting.device.name, 0),
        "policy": setting.config.section_digest("gate"),
        "constraints": [c.model_dump(mode="json") for c in setting.constraints],
        "objectives": objectives_of(setting.config),
        "price_per_hour": setting.device.price_per_hour,
    }


def _already_promoted(context: Context) -> bool:
    """Whether the journal's newest entry is this run's own."""
    newest = context.journal.head(context.device.name)
    return newest is not None and newest.run == context.manifest.run


def _strata(validated: Done) -> dict[str, Any]:
    """What of production's strata the gate split covers, where any are named; no verdict depends on it."""
    return {"strata": validated.facts["strata"]} if "strata" in validated.facts else {}


def _hold_unread(context: Context, validated: Done, rule: str, sentence: str) -> str:
    """Hold without reading the gate split; no step's result, since it would be another one the next time."""
    verdict = judging.speaking(context, held(rule, [sentence]))
    incident = [sentence] if sentence.startswith(INCIDENT) else []
    document = {"candidate": None, "verdict": verdict.to_json(), "ref": None, "champion_search": None}
    _keep(context, {**document, "incidents": incident, **_strata(validated)})
    context.account.made(f"gate/{context.device.name}-{rule}")
    context.progress.end(verdict.sentence(), reused=False)
    return verdict.outcome


def _journal_moved(context: Context) -> str | None:
    """A sentence if the champion changed since this run was opened."""
    pinned = context.manifest.journal.get(context.device.name, 0)
    number = context.journal.head_number(context.device.name)
    if number == pinned:
        return None
    return (
        f"The journal of {context.device.name} is at entry {number}, and this run began at entry {pinned}: "
        "the champion was changed meanwhile; run again to compare with the new one."
    )


def incomparable(setting: Setting) -> str | None:
    """A sentence if the champion answers another question than the candidates; such answers cannot be paired.

    Classes that were added behind the champion's are no hindrance: what it does not know is judged apart.
    """
    holder = champion(setting)
    if holder is None:
        return None
    bundle = holder.bundle
    labels, ours = setting.config.data.labels, contract_of(setting)
    if list(bundle.labels) != labels[: len(bundle.labels)]:
        return (
            f"The champion's labels are {', '.join(bundle.labels)}, and data.labels is now {', '.join(labels)}: "
            "a candidate must know all of the champion's classes, in their order, and new ones behind them; restore "
            "data.labels, or start a new project."
        )
    if bundle.contract.shape != ours.shape or bundle.contract.channels != ours.channels:
        return (
            f"The champion takes samples of {bundle.contract.shape} ({', '.join(bundle.contract.channels)}), and "
            f"data.{setting.config.data.kind} now says {ours.shape} ({', '.join(ours.channels)}): restore it, or "
            "start a new project."
        )
    return None


def _anchor_lost(context: Context) -> str | None:
    """A sentence if the anchor cannot be read back; without it nobody knows what was given up since."""
    try:
        load_anchor(context)
    except (IntegrityError, OSError) as error:
        return (
            f"{INCIDENT}: the anchor of {context.device.name} cannot be loaded ({error}). Restore its bundle, or set "
            "the anchor anew."
        )
    return None


def _work(
    context: Context, ref: str, validated: Done, finalists: Done, benchmarked: Done, holder: Champion | None
) -> Work:
    config = context.config
    measurements = benchmarked.facts["measurements"]
    search = samples(context, validated, "search")
    classes = len(config.data.labels) if holder is None else len(holder.bundle.labels)
    incumbent, theirs, broken = None, None, list[str]()
    champion_search: dict[str, Any] | None = None
    if holder is not None:
        theirs = scores_of(context, holder.bundle, search.x)[0]
        right = theirs.argmax(1) == search.y
        champion_search = {
            "error": float(1 - right.mean()),
            "error_by_domain": errors_by_domain(right, search.domains),
            "robustness": robustness_of(context, search, [holder.bundle], known=classes).get(holder.bundle.digest),
        }
        loss = _loss(context, search, classes, holder.bundle, champion_search["error"])
        kept = champion_figures(context, search, classes, theirs, champion_search["robustness"])
        incumbent = _finalist(context, holder.bundle.digest, loss, measurements, kept)
        measured = measurements[holder.bundle.digest]
        if measured["refused"] is None:
            if kept["error"] is None:
                kept["error"] = share_of(~right[search.y < classes])
            broken = incidents(context, holder.entry, measured, kept)
    rivals = [
        (load_bundle(bundle_folder(context.home, context.project, f["bundle"]), expected=f["bundle"]), f)
        for f in finalists.facts["finalists"]
    ]
    candidate = select_candidate(
        [
            _finalist(
                context,
                rival.digest,
                _loss(context, search, classes, rival, found["error"]),
                measurements,
                searched_figures(found),
            )
            for rival, found in rivals
        ],
        incumbent,
        objectives=objectives_of(config),
        constraints=context.constraints,
        margins=config.gate.margins,
        effects=config.gate.effects,
        trade_off=config.gate.trade_off,
    )
    bundle = load_bundle(bundle_folder(context.home, context.project, candidate.id), expected=candidate.id)
    judged = Judged(context, ref, validated, finalists, benchmarked, bundle, holder, load_anchor(context))
    told = judging.decide_once(judged, search, theirs)
    facts = {
        "candidate": bundle.digest,
        "champion": None if holder is None else holder.bundle.digest,
        "champion_search": champion_search,
        "verdict": told["verdict"],
        "gate_error_by_domain": told["gate_error_by_domain"],
        # What was told by an earlier release has none.
        "gate_robustness": told.get("gate_robustness"),
        "incidents": broken,
    }
    remark = told["verdict"]["sentence"] + _warning(told["verdict"]["left"], config)
    shown = [EVIDENCE] if (context.store.workspace(ref) / EVIDENCE).exists() else []
    return Work(facts, shown, " ".join([remark, *broken]))


def _warning(left: int | None, config: Config) -> str:
    """Said in time for new people to be recorded: a tenth of the decisions is left."""
    if left is None or 10 * left > config.gate.decisions:
        return ""
    return f" {left} decisions are left on this gate split: {fresh_judges(config)}."


def fresh_judges(config: Config) -> str:
    """What to do where few decisions are left, or none."""
    if not config.data.splits.by_recording:
        return "bring people who were never read"
    return f"it is of all {config.data.domain_noun}, so that a project with others has to follow"


def _loss(context: Context, search: Samples, classes: int, bundle: Bundle, error: float) -> float:
    """The configured loss on the search split; the error where no domain of it has every class."""
    quality = context.config.gate.quality
    if quality.metric == "error":
        return error
    loss = loss_of(quality, search, classes, scores_of(context, bundle, search.x)[0])
    return error if loss is None else loss


def _finalist(
    context: Context, digest: str, loss: float, measurements: dict[str, Any], searched: dict[str, float | None]
) -> Finalist:
    measurement = measurements[digest]
    trusted = measurement["refused"] is None and measurement["latency"] is not None
    taken = {metric: middle(measurement, metric, context.terms) if trusted else None for metric in TAKES}
    exact = {metric: measurement[metric] for metric in EXACT}
    return Finalist(digest, loss, {**taken, **exact, **searched})


def _keep(context: Context, decision: dict[str, Any]) -> None:
    with context.guard.publishing():
        write_json(decision_path(context), {"version": 1, **decision, "signed": sign_decision(context, decision)})
        share(context.home, decision_path(context))


def _log(context: Context, done: Done) -> None:
    verdict = done.facts["verdict"]
    with context.tracked(done.ref) as tracked:
        tracked.params(
            {"candidate": done.facts["candidate"], "champion": done.facts["champion"], "decision": verdict["decision"]}
        )
        tracked.metrics({"level": verdict["level"], "promote": float(verdict["outcome"] == "promote")})
        tracked.metrics(robust_metrics((done.facts["champion_search"] or {}).get("robustness"), "champion_"))
        tracked.value(verdict, "verdict.json")
        tracked.tags({"evernas.verdict": verdict["outcome"], "evernas.reason": verdict["sentence"]})
