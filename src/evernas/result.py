"""What a run leaves behind for people and programs: the typed form of result.json and its published schema."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RESULT_VERSION = 1


class Record(BaseModel):
    """A part of the result."""

    model_config = ConfigDict(extra="forbid")


class StepRecord(Record):
    """One step of the run; seconds are of all attempts of this run; a re-used step costs little more than its start."""

    step: str = Field(
        description="ingest, validate, supernet, profile, search, probe, refine, finalists, benchmark, gate, promote, "
        "hold, report; recheck and conclude where nothing was new."
    )
    device: str | None = Field(description="The device of this branch; null for steps shared by all.")
    key: str = Field(description="Digest of all that the step read.")
    reused: bool = Field(description="Whether an earlier result with the same key was taken.")
    attempts: int = Field(description="How often the step was started in this run; above 1 after a kill.")
    seconds: float = Field(description="Wall-clock seconds.")
    cpu_seconds: float = Field(description="Processor seconds of the step and its children.")
    gpu_seconds: float = Field(0.0, description="Seconds times the accelerators that the step held.")
    evaluations: int = Field(0, description="Architectures that the step evaluated anew.")


class SnapshotRecord(Record):
    """The data of the run."""

    id: str = Field(description="Digest of the snapshot's manifest: the dataset version.")
    parent: str | None = Field(description="The snapshot before it.")
    added: list[str] = Field(description="Objects that are new.")
    changed: list[str] = Field(description="Objects whose bytes changed.")
    removed: list[str] = Field(description="Objects that are gone.")
    refused_objects: dict[str, str] = Field(description="Objects that could not be read, with the reason.")
    rows_in: int = Field(description="Rows before validation; equals kept + quarantined + deduplicated.")
    rows_kept: int
    rows_quarantined: int
    rows_deduplicated: int
    rows_released: int = Field(0, description="Kept rows that a person has released from quarantine.")
    quarantine: dict[str, int] = Field(description="Rows per rule; a row that breaks two rules counts in both.")
    quarantine_examples: list[str] = Field(description="A few sentences that say which row and why.")
    kept: str = Field(description="Digest of the rows that training, search and gate see.")
    splits: dict[str, dict[str, int]] = Field(description="Rows per domain, for each of train, search and gate.")
    classes: dict[str, dict[str, int]] = Field(description="Rows per label, for each of train, search and gate.")
    drift: dict[str, Any] | None = Field(
        None,
        description="What differs from the data that the champions were trained on, tested over domains, and how much "
        "work follows; null where it was not tested.",
    )
    domain_noun: str = Field("domains", description="What the domains are, in the plural.")
    split_by: Literal["domain", "recording"] = Field(
        "domain", description="What was split: domains, or the recordings of every domain; then it judges these alone."
    )
    strata: dict[str, dict[str, Any]] | None = Field(
        None,
        description="For each kind in data.strata: the shares of the rows and domains that are trained on or new whose "
        "strata the gate split covers, the counts of each stratum, and both as a sentence; null where none is named.",
    )


class RankedPair(Record):
    """An architecture's error on the search split with inherited weights, and after fine-tuning."""

    arch: str
    run: str = Field(description="The earliest of these runs that had it among its finalists.")
    group: int = Field(description="Only pairs of one group are compared: same supernet, rows and fine-tuning.")
    inherited: float = Field(description="Share of wrong answers with inherited weights.")
    tuned: float = Field(description="Share of wrong answers on the same rows after fine-tuning.")
    new: bool = Field(description="Whether it is a finalist of this run.")


class RankingRecord(Record):
    """Whether the supernet ranks finalists as fine-tuning does: over the runs since it was last trained cold."""

    pairs: list[RankedPair] = Field(description="Oldest first, of the newest runs; this run's are always there.")
    compared: int = Field(description="Architectures that have another in their group, each once.")
    needed: int = Field(description="How many of these there must be before tau is given.")
    alike: int = Field(description="Twos of one group that both errors put in the same order.")
    otherwise: int = Field(description="Twos of one group that they put in opposite orders.")
    tau: float | None = Field(
        description="Kendall's tau-b over all twos of one group; null before there are enough, or where all are equal."
    )
    low: float | None = Field(description="Lower bound of tau's 95 % interval.")
    high: float | None = Field(description="Upper bound of tau's 95 % interval.")


class LostRecord(Record):
    """What a supernet forgot: the mean error, a share, of a few subnets on samples that it and the last one know."""

    samples: int
    before: float = Field(description="With the last supernet's weights.")
    after: float = Field(description="With the weights that were trained from them, or from nothing.")
    fell_back: bool = Field(description="Whether that was too much, and the supernet was trained from nothing instead.")
    networks: int | None = Field(
        None, description="How many networks that both spaces have were read; null where the space is the same."
    )
    classes: int | None = Field(
        None, description="Among how many classes, those that both know, the answer was to be; null where all are."
    )

    @property
    def terms(self) -> str:
        """For people: what to add to how many samples were read."""
        return terms_in_words(self.networks, self.classes)


def terms_in_words(networks: int | None, classes: int | None) -> str:
    """How two supernets that differ were read beside one another; nothing where they are alike."""
    said = [] if networks is None else [f"in {networks:,} network{'s' * (networks > 1)} that both spaces have"]
    said += [] if classes is None else [f"asked for the {classes:,} classes that both have"]
    return f" ({', '.join(said)})" if said else ""


class DivergedRecord(Record):
    """A warm start that came to no numbers, after which the supernet was trained from nothing."""

    step: int = Field(description="At which of its steps it was given up.")
    steps: int = Field(description="How many it was to have.")
    learning_rate: float = Field(description="The lowest peak of the learning rate that it was tried with.")

    @property
    def sentence(self) -> str:
        """For people: the end of a sentence about the warm start."""
        return f"diverged at step {self.step:,} of {self.steps:,}, also at a learning rate of {self.learning_rate:g}"


class SupernetRecord(Record):
    """The supernet of the run."""

    digest: str = Field(description="Digest of its weights.")
    parent: str | None = Field(description="Digest of the weights it started from; null for a cold start.")
    steps: int
    curve: list[dict[str, float]] = Field(description="Training curve: step, loss and more.")
    space: str = Field(description="Digest of the search space.")
    space_size: str = Field(description="Number of distinct architectures, as decimal digits: it may exceed 2**53.")
    warm_starts: int | None = Field(None, description="Trainings since the last one that was cold.")
    carried: float | None = Field(
        None, description="Share of its first weights that are the parent's; below 1 where space or classes changed."
    )
    lost: LostRecord | None = Field(None, description="Null where there was nothing to compare with.")
    incomparable: str | None = Field(
        None, description="Why it was not compared with the last supernet; null where it was, or there is none."
    )
    diverged: DivergedRecord | None = Field(
        None, description="The warm start that was given up because it diverged; null where none did."
    )
    ranking: RankingRecord | None = Field(None, description="How well it ranks; null in results of older versions.")


class Block(Record):
    """A building block of an architecture, for drawing."""

    kind: str = Field(description="stem, bottleneck, head; of texts embedding, convolution, attention.")
    stage: int | None
    inputs: int = Field(description="Channels in.")
    outputs: int = Field(description="Channels out.")
    kernel: int
    expansion: int
    stride: int
    squeeze: bool = Field(False, description="Whether its channels are weighed by squeeze and excitation.")
    heads: int = Field(
        0, exclude_if=lambda heads: heads == 0, description="Heads of an attention block; 0 where there are none."
    )


class ArchitectureRecord(Record):
    """An architecture."""

    id: str
    genes: list[int]
    choices: dict[str, int | float | str]
    blocks: list[Block]
    macs: int | None = Field(description="Multiplications of one inference; null for an imported network.")
    parameters: int | None = Field(description="Numbers it holds; null where its files cannot be loaded.")
    precision: str = Field("fp32", description="Number format: fp32, or int8 where the convolutions are quantised.")
    input_size: list[int] = Field(
        default=[],
        description="Time, height and width, or number of sub-words that the blocks work on; empty where not known.",
    )


class Point(Record):
    """An evaluated architecture of the search: inherited weights, predicted latency, memory and energy."""

    arch: str
    genes: list[int]
    error: float = Field(description="Share of wrong answers on the search split with inherited weights.")
    latency_ms: float = Field(description="Predicted median latency at batch 1.")
    size_kb: float = Field(description="Bytes of the weights / 1000; of the file, foreseen, where only int8 is made.")
    peak_memory_mb: float | None = Field(
        None, description="Predicted peak memory above the runtime's own; null where it was not searched for."
    )
    energy_mj: float | None = Field(
        None, description="Predicted energy of an inference; null where it was not searched for."
    )
    macs: int


class CorruptionRecord(Record):
    """What a network does under one corruption."""

    name: str
    severity: float
    meaning: str = Field(description="What the severity is.")
    error: float = Field(description="Share of wrong answers on the corrupted rows.")


class RobustnessRecord(Record):
    """A network on rows of the search split that were corrupted, the same for every network of the run."""

    rows: int = Field(description="How many rows of the search split.")
    error: float = Field(description="Share of wrong answers on these rows as they are.")
    corruptions: list[CorruptionRecord]
    worst: str = Field(description="Name of the corruption with the largest error, which is the metric robust_error.")

    @property
    def robust_error(self) -> float:
        """The error under the worst corruption."""
        return max(corruption.error for corruption in self.corruptions)


class BesideRecord(Record):
    """What candidate and champion do under one corruption of the gate split; multiples of the gate's resolution."""

    name: str
    severity: float
    meaning: str = Field(description="What the severity is.")
    candidate: float = Field(description="Share of wrong answers of the candidate.")
    champion: float | None = Field(description="The same of the champion; null where there was none.")


class GateRobustnessRecord(Record):
    """Candidate and champion on rows of the gate split that were corrupted, in the one read of the decision."""

    rows: int = Field(description="How many rows of the gate split.")
    resolution: float = Field(description="What the shares are multiples of: the half-width of the gate's interval.")
    candidate: float = Field(description="Share of wrong answers of the candidate on these rows as they are.")
    champion: float | None = Field(description="The same of the champion; null where there was none.")
    corruptions: list[BesideRecord]


class FinalistRecord(Record):
    """A fine-tuned, exported, measured candidate."""

    bundle: str = Field(description="Digest of the bundle.")
    architecture: ArchitectureRecord
    error_inherited: float = Field(description="On the search split, before fine-tuning.")
    error: float = Field(description="On the search split, from the exported file.")
    error_by_domain: dict[str, float] = Field(description="On the search split.")
    robustness: RobustnessRecord | None = Field(
        None, description="Under corruptions of the search split; null where none was tried."
    )
    predicted_latency_ms: float
    predicted: dict[str, float] = Field(
        default={},
        description="The other costs that the search was told of it, by predictors: peak_memory_mb, energy_mj.",
    )
    measurement: dict[str, Any] = Field(
        description="As measured on the device: latency, cold_start, load, memory, size, energy and environment; see "
        "evernas.hardware.measurement."
    )


class ChampionRecord(Record):
    """A champion: an entry of the journal."""

    number: int = Field(description="Number of the journal entry.")
    bundle: str
    architecture: ArchitectureRecord
    run: str = Field(description="The run that promoted it.")
    promoted_at: str
    model: str = Field(description="Registered model and version, as models:/name/version.")
    error: float | None = Field(description="On the search split of this run; null where it was not computed.")
    error_by_domain: dict[str, float] = Field(description="On the search split of this run.")
    robustness: RobustnessRecord | None = Field(
        None, description="Under corruptions of the search split of this run; null where none was tried."
    )
    measurement: dict[str, Any] | None = Field(
        description="In the session of this run; null where it was not measured."
    )


class ProbeRecord(Record):
    """What the front's least certain networks cost on the device, of one cost, and what had been foreseen."""

    measured: dict[str, float] = Field(description="By architecture.")
    foreseen: dict[str, float] = Field(description="The same by the profile's predictor, times the drift.")
    ratios: dict[str, float] = Field(description="Measured to foreseen.")
    drift: float = Field(
        description="How many times their earlier figure networks of the profile cost, measured again beside them; "
        "1 for memory, which does not follow the machine's speed."
    )
    anchors: list[float] = Field(description="That ratio of each of these networks; the drift is their median.")
    band: float = Field(description="The share by which a network may be off, by the predictor's own errors.")
    outside: list[str] = Field(description="The architectures that left the band.")


class RoundRecord(Record):
    """What the device was asked between the two rounds of its search, and what followed."""

    sentence: str
    searched_on: bool = Field(description="Whether a second round evaluated more architectures.")
    evaluations: int = Field(description="How many it evaluated; random search evaluated as many more.")
    searched_by: list[str] = Field(
        default=[], description="The costs by whose uncertainty the networks were chosen, and which were measured."
    )
    probes: dict[str, ProbeRecord] = Field(description="By cost; empty where nothing was measured.")
    predictors: dict[str, dict[str, Any]] = Field(
        description="By cost, of the predictors that foresaw the finalists, as `predictor`."
    )
    nothing: str | None = Field(description="Why nothing was measured; null where something was.")
    unmeasured: dict[str, str] = Field(description="By cost, which networks have no figure, and why.")


class TranslatedRecord(Record):
    """What became of the last front's architectures in a search space that has changed."""

    of: int = Field(description="Architectures of the last front.")
    fit: int = Field(
        description="Those that the search began with: the same choices, or others near to them; each once."
    )

    @property
    def sentence(self) -> str:
        """For people: a part of a sentence."""
        if not self.fit:
            return f"the space is another, and none of the last front's {self.of:,} architectures has its like in it"
        return f"the space is another: begun with {self.fit:,} architectures, the like of the last front's {self.of:,}"


class DeviceResult(Record):
    """What a run found and decided for one device."""

    device: str
    runtime: str
    threads: int
    searched_precision: str = Field(
        "fp32",
        description="Number format of the networks whose costs the search was told: int8 where no other is made.",
    )
    recorded: bool = Field(description="True where measurements were read from a file, not taken.")
    predictor: dict[str, Any] = Field(
        description="Kind, residual spread and rank correlation of the latency predictor."
    )
    more_predictors: dict[str, dict[str, Any]] = Field(
        default={}, description="The same of the predictors of the other costs that were searched for, by their names."
    )
    second_round: RoundRecord | None = Field(
        None, description="What was measured between the rounds of the search; null where there is one."
    )
    departure: dict[str, Any] | None = Field(
        None,
        description="How the finalists' measured latencies lie to the predicted ones: the median of the ratios, the "
        "band of the predictor as a share, over how many networks, and by how many times (`drift`) the predictions "
        "were raised between the rounds for the device's speed of the day. Of ratio times drift (`since_profile`): "
        "what it was when the device was last profiled anew (`before`), what it was in the last run where that was "
        "outside the band (`last`), and whether it is stale: then the next run profiles the device again, unless it is "
        "lasting, which a new profile did not change, or recorded. It is `misled` where the networks cost what the "
        "profile foresees and not what it was raised to. Null where nothing was measured.",
    )
    more_departures: dict[str, dict[str, Any]] = Field(
        default={}, description="The same of the other costs that were searched for, by their names."
    )
    evaluations: int
    translated: TranslatedRecord | None = Field(
        None, description="Null where the space is that of the last front, or no front before it is known."
    )
    front: list[Point]
    previous_front: list[Point] = Field(description="The front of the run before, as that run saw it.")
    points: list[Point] = Field(description="All evaluated architectures.")
    hypervolume: list[float] = Field(description="After each evaluation, as a share of the final front of both curves.")
    hypervolume_random: list[float] = Field(description="The same for random search; empty if it was not run.")
    finalists: list[FinalistRecord]
    max_robust_error: float | None = Field(
        None, description="The limit that constraints set to robust_error on this device; null where there is none."
    )
    candidate: str | None = Field(description="Bundle that was sent to the gate; null if there was none.")
    champion_before: ChampionRecord | None
    champion_after: ChampionRecord | None
    verdict: dict[str, Any] = Field(description="Outcome and reasons; see evernas.gate.Verdict.")
    incidents: list[str] = Field(
        default=[],
        description="What the champion that the run began with breaks of its own constraints, or why it is lost.",
    )
    gate_error_by_domain: dict[str, dict[str, float | None]] = Field(
        description="On the gate split, per domain, candidate and champion; only after a promotion."
    )
    gate_robustness: GateRobustnessRecord | None = Field(
        None, description="Under corruptions of the gate split; only after a promotion, and where any were tried."
    )


class Result(Record):
    """result.json: everything that a run found, decided and cost."""

    version: Literal[1] = 1
    run: str
    project: str
    outcome: Literal["promoted", "held", "nothing-new", "stopped"] = Field(
        description="promoted if any device has a new champion; nothing-new if no step had to run; stopped where the "
        "budget was spent before all devices were decided."
    )
    reason: str = Field(description="The outcome in a sentence.")
    started_at: str
    ended_at: str
    config: str = Field(description="Digest of the config.")
    snapshot: SnapshotRecord | None
    supernet: SupernetRecord | None
    devices: list[DeviceResult]
    steps: list[StepRecord]
    seconds: float = Field(description="Wall-clock seconds of all steps and attempts together.")
    cpu_seconds: float
    mlflow: dict[str, str] = Field(description="Tracking URI, experiment and run.")
