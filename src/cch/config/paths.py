"""Where everything generated lies, for the rules and for the library alike."""

from __future__ import annotations

from dataclasses import dataclass

from cch.config.model import Config

# Which roles' runs a quantity is estimated from.
ROLES = {
    "teacher-student": ("teacher", "baseline"),
    "student-label": ("baseline",),
    "teacher-label": ("teacher",),
}


@dataclass(frozen=True)
class Paths:
    """File names under the two folders of the configuration, relative to the working folder."""

    results: str
    resources: str

    @classmethod
    def of(cls, config: Config) -> Paths:
        """The paths of a configuration."""
        return cls(config.results.rstrip("/"), config.resources.rstrip("/"))

    def raw(self, source: str, file: str) -> str:
        """A raw file."""
        return f"{self.resources}/{source}/{file}"

    def dataset(self, name: str) -> str:
        """A prepared dataset."""
        return f"{self.results}/datasets/{name}.h5"

    def features(self, dataset: str, selection: str) -> str:
        """Selected features; studies that select alike share them (``planning.selection_name``)."""
        return f"{self.results}/features/{dataset}/{selection}.h5"

    def runs(self, study: str, role: str) -> str:
        """The runs of a study in one role."""
        return f"{self.results}/runs/{study}/{role}.h5"

    def information(self, study: str, estimator: str) -> str:
        """The estimates of a study by one estimator."""
        return f"{self.results}/information/{study}/{estimator}.json"

    def calibration(self, name: str, estimator: str) -> str:
        """What an estimator gave where the truth is known, for a study or another setting."""
        return f"{self.results}/calibration/{name}/{estimator}.json"

    @property
    def theory(self) -> str:
        """Every replication and closed form of the target ``theory``."""
        return f"{self.results}/theory/simulation.json"

    def table(self, name: str, suffix: str = "json") -> str:
        """A table, or the numbers behind a figure."""
        return f"{self.results}/tables/{name}.{suffix}"

    def figure(self, name: str, suffix: str = "pdf") -> str:
        """A figure."""
        return f"{self.results}/figures/{name}.{suffix}"
