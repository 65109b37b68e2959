"""Searches of other libraries, each used as its own documentation shows; nothing of evernas chooses anything here."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from search_tables import Genes, Table

START = 20
"""Random architectures that the model-based peer starts from, and the population of the evolutionary ones."""
DRAWS = 32
"""Draws of the posterior in the peer's acquisition function."""
FIT_STEPS = 40
CHUNK = 128
MOST_PROPOSALS = 20


class Spent(Exception):
    """The budget of evaluations is used up, or what was to be reached is reached."""


class Referee:
    """Answers proposals from a table, and keeps the rows in the order they were first asked for.

    An architecture that was asked for before, or one equivalent to it, costs nothing; neither does one that the table
    lacks, whose answer is None. Proposals are limited too, so that a search that only repeats itself ends.
    """

    def __init__(self, table: Table, budget: int, enough: Callable[[list[int]], bool] | None = None) -> None:
        self.table = table
        self.budget = min(budget, len(table.values))
        self.enough = enough
        self.order: list[int] = []
        self._seen: set[int] = set()
        self._proposals = 0

    def costs(self, genes: Genes) -> np.ndarray | None:
        """The costs of an architecture, every column to be made small."""
        self._proposals += 1
        if self._proposals > MOST_PROPOSALS * self.budget:
            raise Spent
        row = self.table.rows.get(genes)
        if row is None:
            return None
        if row not in self._seen:
            if len(self.order) >= self.budget or (self.enough is not None and self.enough(self.order)):
                raise Spent
            self._seen.add(row)
            self.order.append(row)
        return np.asarray(self.table.costs[row])


Peer = Callable[[Referee, int], None]


def random(referee: Referee, seed: int) -> None:
    """Uniform over the genes."""
    rng = np.random.default_rng(seed)
    while True:
        referee.costs(tuple(int(rng.integers(way)) for way in referee.table.ways))


def pymoo_nsga2(referee: Referee, seed: int) -> None:
    """pymoo's NSGA-II with its operators for categorical variables."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice
    from pymoo.optimize import minimize

    ways = referee.table.ways

    class Genome(ElementwiseProblem):
        def __init__(self) -> None:
            variables = {f"x{i:02d}": Choice(options=list(range(way))) for i, way in enumerate(ways)}
            super().__init__(vars=variables, n_obj=referee.table.costs.shape[1])

        def _evaluate(self, x, out, *args, **kwargs) -> None:
            costs = referee.costs(tuple(int(x[f"x{i:02d}"]) for i in range(len(ways))))
            out["F"] = np.full(self.n_obj, 1e9) if costs is None else costs

    algorithm = NSGA2(
        pop_size=START,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )
    minimize(Genome(), algorithm, ("n_gen", 10**6), seed=seed, verbose=False)


def optuna_motpe(referee: Referee, seed: int) -> None:
    """Optuna's multi-objective tree-structured Parzen estimator, all genes together."""
    import optuna

    _optuna(referee, optuna.samplers.TPESampler(seed=seed, multivariate=True, warn_independent_sampling=False))


def optuna_nsga2(referee: Referee, seed: int) -> None:
    """Optuna's NSGA-II."""
    import optuna

    _optuna(referee, optuna.samplers.NSGAIISampler(seed=seed, population_size=START))


def _optuna(referee, sampler) -> None:
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    study = optuna.create_study(directions=["minimize"] * referee.table.costs.shape[1], sampler=sampler)
    ways = referee.table.ways

    def objective(trial):
        genes = tuple(trial.suggest_categorical(f"x{i:02d}", list(range(way))) for i, way in enumerate(ways))
        costs = referee.costs(genes)
        if costs is None:
            raise optuna.TrialPruned
        return tuple(costs)

    study.optimize(objective)


def botorch_qlognehvi(referee: Referee, seed: int) -> None:
    """BoTorch's qLogNEHVI on one-hot genes; the candidates are mutations of the front."""
    _qlognehvi(referee, seed, frozenset())


def botorch_qlognehvi_told(referee: Referee, seed: int) -> None:
    """The same with every cost but the accuracy as a deterministic model: it is told the formulas, as ours can be."""
    _qlognehvi(referee, seed, frozenset(range(1, referee.table.costs.shape[1])))


def _qlognehvi(referee: Referee, seed: int, known: frozenset[int]) -> None:
    import warnings

    import torch
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.deterministic import GenericDeterministicModel
    from botorch.models.model import ModelList
    from botorch.models.transforms.outcome import Standardize
    from botorch.sampling.normal import SobolQMCNormalSampler
    from botorch.utils.multi_objective.hypervolume import infer_reference_point
    from gpytorch.mlls import ExactMarginalLogLikelihood

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    ways = referee.table.ways
    start = np.concatenate([[0], np.cumsum(ways)[:-1]])
    genes: list[Genes] = []
    goods: list[np.ndarray] = []

    def ask(proposal: Genes) -> None:
        costs = referee.costs(proposal)
        if costs is not None:
            genes.append(proposal)
            goods.append(-costs)

    def one_hot(many: list[Genes]):
        x = torch.zeros(len(many), int(sum(ways)), dtype=torch.double)
        for i, one in enumerate(many):
            x[i, start + np.array(one)] = 1.0
        return x

    while len(genes) < START:
        ask(tuple(int(rng.integers(way)) for way in ways))
    free: set[Genes] = set()
    fitted: dict[int, dict[str, torch.Tensor]] = {}
    while True:
        x, y = one_hot(genes), torch.tensor(np.array(goods))
        mean, spread = y.mean(0), y.std(0).clamp_min(1e-12)
        y = (y - mean) / spread
        models = []
        for column in range(y.shape[1]):
            if column in known:
                models.append(GenericDeterministicModel(_formula(referee.table, column, start, mean, spread)))
                continue
            model = SingleTaskGP(x, y[:, column : column + 1], outcome_transform=Standardize(m=1))
            # From the last fit's length scales a few steps of L-BFGS are enough; from none, it takes hundreds.
            scales = model.state_dict()
            model.load_state_dict(
                {key: fitted.get(column, scales).get(key, v) if "raw_" in key else v for key, v in scales.items()}
            )
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": FIT_STEPS if column in fitted else 200}},
            )
            fitted[column] = {key: value for key, value in model.state_dict().items() if "raw_" in key}
            models.append(model)
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=ModelList(*models) if known else ModelListGP(*models),
            ref_point=infer_reference_point(y),
            X_baseline=x,
            sampler=SobolQMCNormalSampler(torch.Size([DRAWS]), seed=seed),
            prune_baseline=True,
            cache_root=not known,
        )
        candidates = _mutations(genes, goods, ways, rng, set(genes) | free)
        if not candidates:
            raise Spent
        with torch.no_grad():
            parts = one_hot(candidates).unsqueeze(1).split(CHUNK)
            values = torch.cat([acquisition(part) for part in parts])
        # Down the ranking to the first that costs an evaluation: what is equivalent to a known one is answered free,
        # and to fit again after each such answer would take hours and tell the models nothing new.
        for i in values.argsort(descending=True).tolist():
            before = len(referee.order)
            costs = referee.costs(candidates[i])
            if len(referee.order) > before and costs is not None:
                genes.append(candidates[i])
                goods.append(-costs)
                break
            free.add(candidates[i])


def _formula(table: Table, column: int, start: np.ndarray, mean, spread):
    """A cost as a function of one-hot genes, in the units that the models see."""
    import torch

    def value(x):
        flat = x.reshape(-1, x.shape[-1])
        found = [
            table.rows.get(tuple(int(row[s : s + way].argmax()) for s, way in zip(start, table.ways, strict=True)))
            for row in flat
        ]
        worst = table.costs[:, column].max()
        costs = torch.tensor([worst if row is None else table.costs[row, column] for row in found])
        return ((-costs - mean[column]) / spread[column]).reshape(*x.shape[:-1], 1)

    return value


def _mutations(
    genes: list[Genes], goods: list[np.ndarray], ways: tuple[int, ...], rng: np.random.Generator, seen: set[Genes]
) -> list[Genes]:
    """Every architecture one gene away from the front, as many two genes away, and a few random ones; up to 600."""
    values = np.array(goods)
    front = [
        genes[i]
        for i in range(len(genes))
        if not ((values >= values[i]).all(axis=1) & (values > values[i]).any(axis=1)).any()
    ]
    near = {
        (*one[:i], option, *one[i + 1 :]) for one in front for i, way in enumerate(ways) for option in range(way)
    } - seen
    near_list = sorted(near)
    chosen = [near_list[i] for i in rng.permutation(len(near_list))[:300]]
    far: set[Genes] = set()
    for _ in range(200):
        one = list(front[int(rng.integers(len(front)))])
        for i in rng.permutation(len(ways))[:2]:
            one[i] = int(rng.integers(ways[i]))
        far.add(tuple(one))
    for _ in range(100):
        far.add(tuple(int(rng.integers(way)) for way in ways))
    chosen += sorted(far - seen - near)
    if not chosen:
        every = itertools.product(*map(range, ways))
        chosen = list(itertools.islice((one for one in every if one not in seen), 600))
    return chosen


@dataclass(frozen=True)
class Recorded:
    """A peer as it is recorded: the search, its package, evaluations and seeds, and whether the target ends it."""

    search: Peer
    package: str
    budget: int
    seeds: int
    stops: bool = False


PEERS = {
    "random": Recorded(random, "numpy", 400, 20),
    "pymoo NSGA-II": Recorded(pymoo_nsga2, "pymoo", 400, 20),
    "Optuna NSGA-II": Recorded(optuna_nsga2, "optuna", 400, 20),
    "Optuna MO-TPE": Recorded(optuna_motpe, "optuna", 400, 20),
    "BoTorch qLogNEHVI": Recorded(botorch_qlognehvi, "botorch", 200, 10, stops=True),
    "BoTorch qLogNEHVI, told": Recorded(botorch_qlognehvi_told, "botorch", 200, 10, stops=True),
}


def peer_version(name: str) -> str:
    """The version of the package that a peer is from; numpy keeps its streams, so `random` is of none."""
    return "1" if name == "random" else version(PEERS[name].package)
