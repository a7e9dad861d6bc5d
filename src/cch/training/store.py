"""Runs on disk: one HDF5 file a study and role.

Layout (R runs in the order of ``runs``, S seeds, n rows of a part)::

    attribute ``header``          JSON: format, study, role, task, class names, shapes
    runs                          JSON: the runs with id, treatment, metrics, divergence
    logits                        (R, n_test, K) float32, at the last epoch
    loss                          (R, epochs) float32, mean training loss of each epoch
    test_rows, test_label         (S, n_test)
    test_group                    (S, n_test) int32, where the dataset groups its rows
    information_rows, information_label   (S', n_info) for the seeds that information needs
    representation/<level>        (S', n_info, H) float32, penultimate (baselines: level 0)
    soft_target/<level>           (S, n_train, K) float32, logits on training rows (teachers)
    validation_rows, validation_label     (S, n_valid), by which the better teacher is chosen
    validation_logits/<level>     (2, S, n_valid, K) float32, of teachers on the other training rows
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.base.files import whole_file

FORMAT = "cch-runs-1"


def write_runs(
    path: str | Path,
    header: Mapping[str, Any],
    runs: list[dict[str, Any]],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write a runs file, whole or not at all; equal contents give equal bytes."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["header"] = json.dumps({"format": FORMAT, **header}, sort_keys=True)
        # Hundreds of runs exceed what an attribute may hold, so the list is a dataset.
        file["runs"] = json.dumps(runs, sort_keys=True, allow_nan=False)
        for name in sorted(arrays):
            file[name] = arrays[name]


class RunsFile:
    """A runs file opened for reading; use it in a ``with`` block.

    Raises:
        CchError: the file is missing, unreadable or of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
            self.header: dict[str, Any] = json.loads(self._file.attrs["header"])
            self.runs: list[dict[str, Any]] = json.loads(self._file["runs"][()])
        except FileNotFoundError:
            raise CchError(self.path, "there is no such runs file") from None
        except (OSError, KeyError, json.JSONDecodeError) as error:
            raise CchError(
                self.path,
                f"cannot be read as runs ({error})",
                # A job reads it only to make what comes after it, and so makes it first.
                "delete it and run the same command again",
            ) from None
        if self.header.get("format") != FORMAT:
            raise CchError(self.path, f"format is {self.header.get('format')!r}, not {FORMAT!r}")

    def __enter__(self) -> RunsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays cannot be read any more."""
        self._file.close()

    def holds(self, name: str) -> bool:
        """Whether there is such an array."""
        return name in self._file

    def array(self, name: str) -> np.ndarray:
        """Return a whole array, e.g. ``logits`` or ``representation/0.5``."""
        if name not in self._file:
            raise CchError(self.path, f"holds no {name!r}")
        return self._file[name][()]

    def levels(self, group: str) -> list[str]:
        """Names of the levels under ``representation`` or ``soft_target``."""
        return sorted(self._file[group], key=float) if group in self._file else []
