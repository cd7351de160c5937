"""What a source is asked: the little that data need to know of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.records.events import Stage


@dataclass(frozen=True, slots=True)
class Asked:
    """What a dataset's source is asked by a sweep. Sources never see the whole spec.

    Parameters
    ----------
    name : str
        The dataset's name.
    seed : int
        The sweep's.
    goal : str
        Words of a goal, as ``"rmse < 20000"``; empty where `below` holds.
    metric, below : str, float
        What trials are compared by, and what it must stay below.
    loss : str
        What is trained on; a key of `engine.methods.losses.LOSSES`.
    dtype : str
        ``"float32"`` or ``"float64"``.
    n_search, n_finalist, n_certificate, n_ablation : int
        Replicas of a stage.
    max_certificates : int
        Most certificates there may be.
    level : float
        Of all certificates together.
    """

    name: str
    seed: int
    goal: str
    metric: str
    below: float
    loss: str
    dtype: str
    n_search: int
    n_finalist: int
    n_certificate: int
    max_certificates: int
    level: float
    n_ablation: int = 0

    def n_replicas(self, stage: Stage) -> int:
        """Return how many replicas a stage has."""
        replicas = {"finalist": self.n_finalist, "certificate": self.n_certificate, "ablation": self.n_ablation}
        return replicas.get(stage.removeprefix("page_"), self.n_search)
