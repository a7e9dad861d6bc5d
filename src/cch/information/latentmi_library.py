"""The library ``latentmi`` as its authors released it, made repeatable: the reference.

G. Gowri, X.-K. Lun, A. M. Klein, P. Yin, "Approximating mutual information of high-dimensional
variables using learned representations", NeurIPS 2024. Two autoencoders with cross decoders map
both variables to 8 dimensions; the rows that did not train them carry a Kraskov estimate there.

The library is not altered; what it does is kept and recorded:

- It draws from the global generators of NumPy and torch. They are seeded from the key for the
  length of the call and put back afterwards.
- It prints every epoch. The lines are read for the record and for progress and go nowhere else.
- It returns bits; they are converted to nats.
- Its early stopping keeps a reference to the weights, not a copy, so the last epoch's weights are
  used whether it stops or not; dropout stays on in its validation passes.
- A column without spread becomes a column of zeros, which its decoders learn at once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, ClassVar

import numpy as np

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.data.rng import keyed_seed
from cch.information.estimator import CheckedEstimator, Measured, Sample
from cch.information.stacks import as_columns
from cch.information.units import from_bits

LIBRARY = "latentmi"
_log = logging.getLogger("cch.information.latentmi")


@dataclass(frozen=True)
class LatentMILibrary(CheckedEstimator):
    """``latentmi.lmi.estimate`` behind the common interface; labels enter one-hot.

    Args:
        epochs: at most this many.
        patience: epochs without a lower validation loss after which the fit stops.
        batch_size: rows of a batch.
        lr: Adam's learning rate.
        N_dims: latent dimensions of each variable.
        validation_split: fraction of rows that stop the fit and carry the estimate.
        alpha: weight of the reconstruction losses.
        lam: weight of the cross-reconstruction losses.
        device: torch device; the value is repeatable on ``cpu`` only.
    """

    name: ClassVar[str] = "latentmi-library"

    epochs: int = 300
    patience: int = 30
    batch_size: int = 512
    lr: float = 1e-4
    N_dims: int = 8
    validation_split: float = 0.5
    alpha: float = 1.0
    lam: float = 1.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._check_whole("epochs", "patience", "batch_size", "N_dims")
        if not 0 < self.validation_split < 1:
            raise CchError(
                self.name, f"validation_split is {self.validation_split!r}, expected 0 to 1"
            )

    @property
    def version(self) -> str:
        """Version of the installed library."""
        try:
            return metadata.version(LIBRARY)
        except metadata.PackageNotFoundError:
            raise _not_installed() from None

    def work(self, rows: int, dx: int, dy: int, labels: bool) -> float:
        """Operations of training to the last epoch, as ``latent.Latent`` with the same networks."""
        from cch.information.latent import LatentMI

        same = LatentMI(
            epochs=self.epochs, N_dims=self.N_dims, validation_split=self.validation_split
        )
        return same.work(rows, dx, dy, labels)

    def _measure(self, sample: Sample, seed: int) -> Measured:
        library = _library()
        x, y = as_columns(sample)
        output = _EpochLines(f"latentmi, {len(x)} rows", self.epochs)
        with _seeded(seed, self.device), _quietly(output) as caught:
            pointwise, _, _ = library.estimate(x, y, quiet=False, **asdict(self))
        return self._measured(np.asarray(pointwise), output, caught)

    def _measured(
        self, pointwise: np.ndarray, output: _EpochLines, caught: list[warnings.WarningMessage]
    ) -> Measured:
        """Turn the library's pointwise values (n,), in bits, and its words into nats and a fit."""
        rows = len(pointwise)
        trained = int(rows * (1 - self.validation_split))
        carried = int((~np.isnan(pointwise)).sum())
        fit = {
            "torch": metadata.version("torch"),
            "epochs_run": output.epochs,
            "stopped_early": output.stopped,
            "rows_trained": trained,
            "rows_estimated": carried,
        }
        flags = []
        if carried < rows - trained:
            flags.append(f"{rows - trained - carried} rows without a pointwise value")
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            if "NaNs in embedding" in text:
                # The library goes on with zeros, whose estimate is noise around 0.
                fit["failure"] = text
                return Measured(math.nan, fit, flags)
            if "invalid value encountered" not in text:  # a column without spread, 0 / 0
                _log.warning("latentmi: %s", text)
        bits = float(np.nanmean(pointwise)) if carried else math.nan
        return Measured(from_bits(bits), fit, flags)


def _library() -> Any:
    """Import the library, or say in one line why it cannot be used."""
    if not hasattr(np, "NaN"):
        raise CchError(
            LIBRARY,
            f"uses np.NaN, which NumPy {np.__version__} no longer has",
            "install the project's pinned packages (numpy below 2)",
        )
    try:
        from latentmi import lmi
    except ImportError as error:
        raise _not_installed(error) from None
    return lmi


def _not_installed(error: ImportError | None = None) -> CchError:
    why = f"cannot be imported ({error})" if error else "is not installed"
    return CchError(LIBRARY, why, "install the project's pinned packages")


@contextlib.contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seed the global generators of NumPy and torch; put their states back at the end."""
    import torch

    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    state = np.random.get_state()
    with torch.random.fork_rng(devices=cuda):
        np.random.seed(seed)
        # Both are Mersenne twisters: one seed for both would give the two the same stream.
        torch.manual_seed(keyed_seed("latentmi", "torch", seed, bits=56))
        try:
            yield
        finally:
            np.random.set_state(state)


@contextlib.contextmanager
def _quietly(output: io.TextIOBase) -> Iterator[list[warnings.WarningMessage]]:
    """Send what is printed to ``output`` and collect warnings."""
    with (
        contextlib.redirect_stdout(output),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        yield caught


class _EpochLines(io.TextIOBase):
    """Reads the library's lines: ``epoch i (of max n)`` after each epoch, and how it stopped."""

    _EPOCH = re.compile(r"\repoch (\d+) \(of max")

    def __init__(self, label: str, epochs: int) -> None:
        super().__init__()
        self.epochs = 0
        self.stopped = False
        self._progress = Progress(label, epochs, "epochs")

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if found := self._EPOCH.match(text):
            self.epochs = int(found[1]) + 1
            self._progress.advance()
        if "training stopped at epoch" in text:
            self.stopped = True
        return len(text)
