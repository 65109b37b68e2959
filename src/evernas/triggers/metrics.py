"""What the receiver counts, for Prometheus; every series carries the project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The series of one receiver."""

    def __init__(self, project: str) -> None:
        self.registry = CollectorRegistry()
        self._project = project
        self._event_series: dict[tuple[str, str], Counter] = {}
        self._events = self._counter("events", "Events that were kept, or known already.", "source", "outcome")
        self._refused = self._counter("refused_requests", "Requests that were refused.", "source", "status")
        self._works = self._gauge("works", "Works by state.", "state")
        self._ended = self._counter("runs", "Runs that ended.", "outcome")
        self._outbox = self._gauge("outbox_deliveries", "Events for others by state: sending, sent, dead.", "state")
        self.waiting = self._gauge("waiting_events", "Events that wait for the disk.").labels(project)
        self.backlog = self._gauge("oldest_new_event_seconds", "Age of the oldest event not gathered.").labels(project)
        self.requests = self._histogram("request_seconds", "Seconds from a request's headers to its answer.", SECONDS)
        self.commits = self._histogram("commit_seconds", "Seconds of a commit.", SECONDS)
        self.batches = self._histogram("commit_events", "Events in a commit.", SIZES)
        self.commit_failures = self._counter("commit_failures", "Commits that failed.").labels(project)
        self.dispatch_failures = self._counter("dispatch_failures", "Looks at the works that failed.").labels(project)
        self.submissions = self._counter("submissions", "Runs that were submitted.").labels(project)

    def events(self, source: str, outcome: str) -> None:
        """Count an event."""
        series = self._event_series.get((source, outcome))
        if series is None:
            series = self._event_series[source, outcome] = self._events.labels(self._project, source, outcome)
        series.inc()

    def refused(self, source: str, status: int) -> None:
        """Count a refused request; `source` must be a configured one, or the series would be the sender's to make."""
        self._refused.labels(self._project, source, str(status)).inc()

    def works(self, counts: dict[str, int]) -> None:
        """Set how many works are in each state."""
        for state, count in counts.items():
            self._works.labels(self._project, state).set(count)

    def outbox(self, counts: dict[str, int]) -> None:
        """Set how many events for others are in each state."""
        for state, count in counts.items():
            self._outbox.labels(self._project, state).set(count)

    def ended(self, outcome: str) -> None:
        """Count a run that ended."""
        self._ended.labels(self._project, outcome).inc()

    def text(self) -> bytes:
        """All series, in Prometheus' text form."""
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        """All series, as Prometheus' library has them."""
        return self.registry.collect()

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"evernas_{name}", what, ("project", *labels), registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"evernas_{name}", what, ("project", *labels), registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(f"evernas_{name}", what, ("project",), buckets=buckets, registry=self.registry)
        return made.labels(self._project)


class _Together(Collector):
    """The series of several projects, each family once."""

    def __init__(self, all_metrics: Sequence[Metrics]) -> None:
        self._all = all_metrics

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for metrics in self._all:
            for found in metrics.collect():
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                family.samples += found.samples
        return families.values()


def text_of(all_metrics: Sequence[Metrics]) -> bytes:
    """The series of several projects, in Prometheus' text form."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Together(all_metrics))
    return generate_latest(registry)
