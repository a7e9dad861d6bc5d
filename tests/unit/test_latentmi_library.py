"""latentmi behind the interface: the library's own number, repeatable, silent, in nats."""

import contextlib
import io
import math
import random

import numpy as np
import pytest
import torch

from cch.base.errors import CchError
from cch.data.rng import keyed_seed
from cch.information.latentmi_library import LatentMILibrary

pytest.importorskip("latentmi")
FEW = {"epochs": 2, "batch_size": 32}


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 4))
    return x, (x[:, 0] > 0).astype(int)


def library_bits(x, y, seed, **options):
    """Call the library by hand, as its README does, and return nanmean of its values."""
    from latentmi import lmi

    np.random.seed(seed)
    torch.manual_seed(keyed_seed("latentmi", "torch", seed, bits=56))
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):
        values, _, _ = lmi.estimate(x, y, device="cpu", **options)
    return float(np.nanmean(values))


def test_it_is_the_librarys_number_in_nats_with_one_hot_labels(data):
    x, labels = data
    result = LatentMILibrary(**FEW).estimate(x, labels, key=("a",))
    bits = library_bits(x, np.eye(2)[labels], result.seed, **FEW)
    assert result.value == bits * math.log(2)
    assert result.value != 0


def test_it_is_the_librarys_number_for_two_representations_with_a_dead_unit(data):
    x = data[0].copy()
    y = np.maximum(x @ np.array([[1.0, 0.0, 2.0], [0.5, 0.0, 0.0]] * 2), 0)
    result = LatentMILibrary(**FEW).estimate(x, y, key=("b",))
    assert result.value == library_bits(x, y, result.seed, **FEW) * math.log(2)
    assert result.fit["constant_columns_y"] == 1


def test_a_column_constant_up_to_rounding_enters_as_zeros(data):
    x, labels = data
    rounded, exact = x.copy(), x.copy()
    rounded[:, 2] = np.nextafter(np.float32(0.7), np.float32(labels))
    exact[:, 2] = 0.0
    estimator = LatentMILibrary(**FEW)
    assert (
        estimator.estimate(rounded, labels, key=()).value
        == estimator.estimate(exact, labels, key=()).value
    )


def test_equal_keys_give_equal_values_and_other_keys_other_values(data):
    estimator = LatentMILibrary(**FEW)
    first = estimator.estimate(*data, key=("a", 1))
    np.random.seed(99)
    torch.manual_seed(99)
    assert estimator.estimate(*data, key=("a", 1)) == first
    assert estimator.estimate(*data, key=("a", 2)).value != first.value


def test_global_generators_are_left_as_they_were(data):
    np.random.seed(5)
    torch.manual_seed(5)
    expected = np.random.random(), torch.rand(1).item()
    np.random.seed(5)
    torch.manual_seed(5)
    state = random.getstate()
    LatentMILibrary(**FEW).estimate(*data, key=())
    assert (np.random.random(), torch.rand(1).item()) == expected
    assert random.getstate() == state


def test_nothing_is_printed_and_progress_goes_to_the_log(data, capfd, caplog):
    with caplog.at_level("INFO", logger="cch.base.progress"):
        LatentMILibrary(**FEW).estimate(*data, key=())
    assert capfd.readouterr().out == ""
    assert "latentmi, 100 rows: 2/2 epochs" in caplog.text


def test_the_fit_says_what_was_run(data):
    fit = LatentMILibrary(**FEW).estimate(*data, key=()).fit
    assert fit["options"]["epochs"] == 2
    assert fit["options"]["patience"] == 30
    assert fit["version"] == LatentMILibrary().version
    assert (fit["epochs_run"], fit["stopped_early"]) == (2, False)
    assert (fit["rows_trained"], fit["rows_estimated"]) == (50, 50)


def test_early_stopping_is_seen(data):
    noise = np.random.default_rng(1).normal(size=100)
    fit = LatentMILibrary(epochs=60, patience=1, lr=0.01).estimate(data[0], noise, key=()).fit
    assert fit["stopped_early"]
    assert 1 < fit["epochs_run"] < 60


def test_a_fit_that_diverges_is_no_number_and_says_why(data):
    result = LatentMILibrary(epochs=2, lr=1e30).estimate(*data, key=())
    assert result.value is None
    assert "NaNs in embedding" in result.fit["failure"]
    assert result.flags == ["estimate failed"]


def test_rows_without_a_pointwise_value_are_counted(data, monkeypatch):
    from latentmi import lmi

    real = lmi.estimate

    def with_holes(*arguments, **options):
        values, *rest = real(*arguments, **options)
        values[np.flatnonzero(~np.isnan(values))[:3]] = np.nan
        return values, *rest

    monkeypatch.setattr(lmi, "estimate", with_holes)
    result = LatentMILibrary(**FEW).estimate(*data, key=())
    assert result.fit["rows_estimated"] == 47
    assert "3 rows without a pointwise value" in result.flags
    assert math.isfinite(result.value)


def test_numpy_2_is_refused_in_one_line(data, monkeypatch):
    monkeypatch.delattr(np, "NaN", raising=False)
    with pytest.raises(CchError, match=r"latentmi: uses np.NaN.*numpy below 2"):
        LatentMILibrary(**FEW).estimate(*data, key=())


@pytest.mark.parametrize(
    ("options", "words"),
    [({"epochs": 0}, "epochs is 0"), ({"validation_split": 1.0}, "validation_split is 1.0")],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(CchError, match=f"latentmi-library: {words}"):
        LatentMILibrary(**options)
