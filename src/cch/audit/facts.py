"""What cells are derived from: runs, estimates, calibrations and settings as they lie on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from cch.audit.metrics import metrics_again
from cch.audit.report import Audit
from cch.audit.tree import Tree
from cch.base.errors import CchError
from cch.records.record import specification

SAME = 1e-12
"""Two derivations of one number differ by rounding only: relative, and absolute below one, where a
difference of two metrics has lost digits."""

RESAMPLED = 1e-9
"""The same of what is summed over bootstrap draws in another order: relative."""


def same(first: Any, second: Any) -> bool:
    """Whether two numbers are one, but for rounding; None is only itself."""
    if not isinstance(first, float | int) or not isinstance(second, float | int):
        return first == second
    return math.isclose(first, second, rel_tol=SAME, abs_tol=SAME)


def near(first: Any, second: Any) -> bool:
    """Whether two numbers that come from thousands of resampled ones are the same."""
    if not isinstance(first, float | int) or not isinstance(second, float | int):
        return first == second
    return math.isclose(first, second, rel_tol=RESAMPLED, abs_tol=SAME)


class Facts:
    """Reads the files of a run without the library's readers, each once."""

    def __init__(self, tree: Tree, report: Audit) -> None:
        self.tree, self.report = tree, report
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self._json: dict[str, Any] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made once for a key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def path(self, *parts: str) -> str:
        """A path below the results, as records write it."""
        return "/".join((self.tree.name, *parts))

    def runs(self, study: str, role: str) -> list[dict[str, Any]]:
        """The runs of a role, their metrics computed again from stored outputs.

        What the file says of its metrics is held against that; metrics that outputs and labels do
        not give are as stored.

        Raises:
            CchError: the file cannot be read.
        """
        name = self.path("runs", study, f"{role}.h5")
        if name not in self._runs:
            try:
                with h5py.File(self.tree.place(name), "r") as file:
                    self._runs[name] = list(self._read_runs(name, file))
            except (OSError, KeyError, ValueError, IndexError, RuntimeError) as error:
                raise CchError(name, f"cannot be read as runs ({error})") from None
        return self._runs[name]

    def _read_runs(self, name: str, file: h5py.File) -> list[dict[str, Any]]:
        header, runs = json.loads(file.attrs["header"]), json.loads(file["runs"][()])
        found = []
        for number, run in enumerate(runs):
            label = file["test_label"][run["seed"]]
            again = metrics_again(file["logits"][number], label, header["task"])
            for metric, value in run["metrics"].items():
                if metric in again and not same(value, again[metric]):
                    self.report.wrong(
                        "run", f"{name}: run {run['id']}",
                        f"{metric} is {value!r}, its stored outputs give {again[metric]!r}",
                    )  # fmt: skip
            self.report.count("runs")
            found.append(run | {"metrics": run["metrics"] | again})
        return found

    def json(self, name: str) -> Any:
        """The content of a JSON file."""
        if name not in self._json:
            self._json[name] = self.tree.json(name)
        return self._json[name]

    def estimates(self, name: str, estimator: str, quantity: str) -> list[dict[str, Any]]:
        """Estimates of a quantity by an estimator in a file; each file is counted once."""
        if name not in self._json:
            self.report.count("estimates", len(self.json(name)["estimates"]))
        wanted = (estimator, quantity)
        found = self.json(name)["estimates"]
        return [entry for entry in found if (entry["estimator"], entry["quantity"]) == wanted]

    def calibration(self, name: str, estimator: str) -> list[dict[str, Any]]:
        """Calibration results of an estimator in a file."""
        return [entry for entry in self.json(name)["results"] if entry["estimator"] == estimator]

    def recorded_settings(self, study: str) -> dict[str, Any]:
        """What the records of a study's jobs say of its configuration, put together.

        A job's specification is all of the configuration that its numbers rest on, so what is not
        in one (a title, what the classes were defined from) is not here.
        """
        if study not in self._specs:
            merged: dict[str, Any] = {}
            for recorded in self.tree.records.values():
                if Path(self.tree.label(recorded.path)).parts[-3:-1] == ("runs", study):
                    given = specification(recorded.content)
                    merged |= {k: v for k, v in given.items() if k not in ("study", "role")}
            data = self.path("datasets", f"{merged.get('dataset')}.h5")
            if data in self.tree.made:
                given = specification(self.tree.made[data].content).get("dataset", {})
                merged["dataset"] = numbers_only(given)
            self._specs[study] = merged
        return self._specs[study]


def numbers_only(dataset: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded dataset without what only tables say, which is recorded as empty."""
    kept = {key: value for key, value in dataset.items() if key != "title"}
    if isinstance(kept.get("label"), dict):
        kept["label"] = {k: v for k, v in kept["label"].items() if k != "defined_by"}
    return kept
