"""What is counted of the requests, in Prometheus' text form."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from reverie.server.hosting.contract import Final

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """Counts of one server; nothing is shared with others in the process."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = into = CollectorRegistry()
        self._requests = Counter("reverie_requests", "Answers, by how they ended", ["model", "end"], registry=into)
        self._ids = Counter("reverie_ids", "Ids that were read or drawn", ["model", "kind"], registry=into)
        self._first = Histogram(
            "reverie_first_word_seconds", "From a request to its first word", ["model"], buckets=_SECONDS, registry=into
        )
        self._rate = Histogram("reverie_ids_per_second", "Of one answer", ["model"], buckets=_RATES, registry=into)
        self._seconds = Histogram(
            "reverie_request_seconds", "From a request to its end", ["model"], buckets=_SECONDS, registry=into
        )
        self._running = Gauge("reverie_running", "Answers under way", ["model"], registry=into)
        self._waiting = Gauge("reverie_waiting", "Answers that wait for a place", ["model"], registry=into)
        self._loaded = Gauge("reverie_loaded_bytes", "Models in memory, estimated", registry=into)

    def refused(self, model: str) -> None:
        self._requests.labels(model, "refused").inc()

    def ended(self, model: str, final: Final | None) -> None:
        """An answer is over; ``final`` is None where nobody heard its end."""
        self._requests.labels(model, final.finish if final else "cancelled").inc()
        if final is None:
            return
        timing = final.timing
        self._ids.labels(model, "prompt").inc(final.num_prompt)
        self._ids.labels(model, "drawn").inc(final.num_ids)
        self._first.labels(model).observe(timing.load + timing.queue + timing.prompt)
        self._seconds.labels(model).observe(timing.total)
        if final.num_ids > 1 and timing.decode > 0:
            self._rate.labels(model).observe((final.num_ids - 1) / timing.decode)

    def text(self, running: dict[str, int], waiting: dict[str, int], loaded_bytes: int) -> bytes:
        """All of it, with how things are now."""
        for gauge, now in ((self._running, running), (self._waiting, waiting)):
            for model, value in now.items():
                gauge.labels(model).set(value)
        self._loaded.set(loaded_bytes)
        return generate_latest(self._registry)
