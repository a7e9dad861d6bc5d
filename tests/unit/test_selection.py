"""mRMR beside the library's own, fitting on training rows alone, and selections on disk."""

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.feature_selection import f_classif
from sklearn.preprocessing import StandardScaler

from cch.base.errors import CchError
from cch.data.mrmr import f_statistic, mrmr, mrmr_reference
from cch.data.rng import numpy_generator
from cch.data.scaling import Columns, fit_columns
from cch.data.selection import (
    SelectionFile,
    select_features,
    write_selection,
)
from support import mirror

# scikit-learn says so of every constant column.
pytestmark = pytest.mark.filterwarnings("ignore:Features:UserWarning", "ignore:.*in divide")

BRCA = "tcga/TCGA-BRCA.cnv_log2ratio.tsv.gz"


def assert_as_library(values: np.ndarray, label: np.ndarray, features: int) -> None:
    ours, library = mrmr(values, label, features), mrmr_reference(values, label, features)
    assert ours.index.tolist() == library.index.tolist()
    np.testing.assert_array_equal(ours.relevance, library.relevance)
    # The last bits of a mean depend on how pandas lays out its frame.
    np.testing.assert_allclose(ours.score, library.score, rtol=1e-12)


# The library's list


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_list_is_the_librarys_on_real_tables(load, dtype):
    table = load()
    assert_as_library(table.data.astype(dtype), table.target, table.data.shape[1])


def awkward(seed: int, dtype: type, whole_numbers: bool) -> tuple[np.ndarray, np.ndarray]:
    """Columns that repeat, are opposite, constant, nearly so, or the label; (n, 24) and (n,)."""
    generator = numpy_generator("awkward", seed)
    label = np.concatenate([[0, 1, 2], generator.integers(0, 3, 40)])
    shape = (len(label), 24)
    values = generator.normal(size=shape) + label[:, None] * generator.random(shape[1])
    if whole_numbers:
        values = generator.integers(0, 3, shape).astype(float)
    values[:, 3] = values[:, 5] = values[:, 10]
    values[:, 7] = -values[:, 11]
    values[:, 8], values[:, 9], values[:, 12] = 0.1, 1 / 3, 0
    values[:, 13] = 1e9 + 1e-7 * values[:, 13]
    values[:, 14] = 3 * values[:, 15] + 0.3
    if seed % 2:
        values[:, 16], values[:, 17] = label, 0.1 * label + 0.3
    return values.astype(dtype), label


@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_the_list_is_the_librarys_where_rounding_and_ties_decide(seed, dtype, whole_numbers):
    assert_as_library(*awkward(seed, dtype, whole_numbers), features=18)


def test_the_list_is_the_librarys_where_many_columns_are_one_column():
    generator = numpy_generator("copies")
    label = generator.integers(0, 2, 50)
    few = generator.normal(size=(50, 4)) + label[:, None]
    assert_as_library(few[:, generator.integers(0, 4, 60)], label, 12)


def brca_cnv(columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Real copy number of genes along the genome, (849, columns), with the PAM50 classes."""
    path = mirror(BRCA)
    with gzip.open(path, "rt") as file:
        cases = next(file).rstrip("\n").split("\t")[1:]
        lines = [line for number, line in enumerate(file) if number in range(57_241)[columns]]
    cells = [line.rstrip("\n").split("\t")[1:] for line in lines]
    values = np.array([[float(cell or "nan") for cell in row] for row in cells]).T
    table = (path.parent / "TCGA-BRCA.pam50.tsv").read_text().splitlines()[1:]
    label = dict(line.split("\t") for line in table)
    return values, np.unique([label[case] for case in cases], return_inverse=True)[1]


# Neighbouring genes of one segment are equal columns: 37,130 of 57,241 differ from each other.
@pytest.mark.parametrize("columns", [slice(0, 400), slice(None, None, 140)])
def test_the_list_is_the_librarys_on_real_copy_number(columns):
    values, label = brca_cnv(columns)
    filled = fit_columns(values, np.arange(len(values))).fill(values)
    assert_as_library(filled.astype(np.float32), label, 30)


def test_f_statistics_are_those_of_single_columns_to_the_last_bit():
    values, label = awkward(1, np.float64, whole_numbers=False)
    with np.errstate(all="ignore"):
        alone = [f_classif(column[:, None], label)[0][0] for column in values.T]
    # Those of nearly constant columns are noise: only the same order of summation gives the same.
    expected = np.where(np.isnan(alone) | (np.ptp(values, axis=0) == 0), 0.0, alone)
    np.testing.assert_array_equal(f_statistic(values, label), expected)


def test_a_second_look_at_a_signal_waits_for_another_signal():
    generator = numpy_generator("second look")
    label = generator.integers(0, 4, 400)
    values = generator.normal(size=(400, 4))
    values[:, 0] += 2 * (label // 2)
    values[:, 1] = values[:, 0] + 0.1 * values[:, 1]
    values[:, 2] += label % 2
    assert mrmr(values, label, 2).index.tolist() in ([0, 2], [1, 2])


def test_the_library_does_not_silence_the_warnings_of_the_process():
    before = list(warnings.filters)
    mrmr(np.eye(6), np.arange(6) % 2, 2)
    assert warnings.filters == before


def test_constant_columns_are_never_chosen():
    values, label = np.ones((20, 6)), np.arange(20) % 2
    values[:, 4] = numpy_generator("one column").normal(size=20) + label
    assert mrmr(values, label, 5).index.tolist() == [4]
    assert mrmr(values[:, :4], label, 5).index.size == 0


@pytest.mark.parametrize("value", [0.1, 1.1, 123.456])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_whose_sums_are_rounded_is_never_chosen(value, dtype):
    values, label = np.full((135, 6), value, dtype), np.arange(135) % 3
    values[:, 4] = numpy_generator("one column").normal(size=135) + label
    for choose in (mrmr, mrmr_reference):
        assert choose(values, label, 1).index.tolist() == [4]


# Fitting


def with_gaps() -> np.ndarray:
    generator = numpy_generator("gaps")
    values = generator.normal(3.0, 2.0, size=(30, 6))
    values[generator.random(values.shape) < 0.2] = np.nan
    values[:, 4] = 0.1
    values[:20, 5] = np.nan
    return values


def test_columns_are_filled_in_and_scaled_as_by_hand():
    values, train = with_gaps(), np.arange(20)
    columns = fit_columns(values, train)
    np.testing.assert_allclose(columns.mean[:5], np.nanmean(values[train, :5], axis=0), rtol=1e-14)
    assert columns.seen.tolist() == [True] * 5 + [False]
    filled = columns.fill(values)[:, :4]
    assert not np.isnan(filled).any()
    scaler = StandardScaler().fit(filled[train])
    np.testing.assert_allclose(columns.sd[:4], scaler.scale_, rtol=1e-12)
    # Inputs lie within 4 and are rounded to float32.
    scaled = columns.transform(values)[:, :4]
    np.testing.assert_allclose(scaled, scaler.transform(filled), rtol=0, atol=4e-7)


def test_constant_and_unseen_columns_become_zero():
    values = with_gaps()
    columns = fit_columns(values, np.arange(20))
    assert columns.mean[4] == 0.1
    assert columns.sd[4] == 0
    assert not columns.transform(values)[:, 4:].any()
    assert not columns.fill(values)[:, 5].any()


def test_filling_in_leaves_the_given_array_alone():
    values = with_gaps()
    before = values.copy()
    fit_columns(values, np.arange(20)).fill(values)
    np.testing.assert_array_equal(values, before)


# Leakage


def cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(120, 40) with gaps, labels, and training rows; column 7 separates test rows only."""
    generator = numpy_generator("cohort")
    label = np.arange(120) % 3
    values = generator.normal(size=(120, 40))
    values[:, 20:30] += 0.5 * label[:, None]
    train = np.sort(generator.permutation(120)[:80])
    test = np.setdiff1d(np.arange(120), train)
    for one in range(3):
        mine = train[label[train] == one]
        values[mine, 7] -= values[mine, 7].mean()
    values[test, 7] = 20 * (label[test] - 1)
    gaps = generator.random(values.shape) < 0.1
    gaps[:, 7] = False
    values[gaps] = np.nan
    return values.astype(np.float32), label, train


def test_a_feature_that_separates_test_rows_only_is_not_chosen():
    values, label, train = cohort()
    chosen = select_features(values, label, train, 5)
    assert 7 not in chosen.index
    assert set(chosen.index.tolist()) & set(range(20, 30))
    assert select_features(values, label, train, 5, rows="all").index[0] == 7


def test_nothing_of_test_rows_changes_anything_that_is_fitted():
    values, label, train = cohort()
    test = np.setdiff1d(np.arange(120), train)
    changed, others = values.copy(), label.copy()
    changed[test] = numpy_generator("changed").normal(size=(len(test), 40)) * 1e6
    changed[test[0]], changed[test[1]] = np.nan, np.inf
    others[test] = -5
    for features in (5, 40):
        one = select_features(values, label, train, features)
        two = select_features(changed, others, train, features)
        for name in ("index", "score", "relevance"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        for name in ("mean", "sd", "seen"):
            np.testing.assert_array_equal(getattr(one.columns, name), getattr(two.columns, name))
        np.testing.assert_array_equal(one.inputs(values[train]), two.inputs(changed[train]))


def test_the_choice_on_all_rows_still_fills_in_and_scales_by_training_rows():
    values, label, train = cohort()
    chosen = select_features(values, label, train, 5, rows="all")
    fitted = fit_columns(values, train)
    np.testing.assert_array_equal(chosen.columns.mean, fitted.mean[chosen.index])
    np.testing.assert_array_equal(chosen.columns.sd, fitted.sd[chosen.index])


def test_a_column_without_a_training_value_is_not_chosen_on_all_rows_either():
    values, label, train = cohort()
    values[train, 7] = np.nan
    assert 7 not in select_features(values, label, train, 30, rows="all").index


def test_the_reference_chooses_the_same():
    values, label, train = cohort()
    ours = select_features(values, label, train, 10)
    library = select_features(values, label, train, 10, method="mrmr-reference")
    assert ours.names == library.names
    assert ours.names == tuple(map(str, ours.index))


def test_a_mask_says_the_same_as_row_numbers():
    values, label, train = cohort()
    mask = np.isin(np.arange(120), train)
    by_mask = select_features(values, label, mask, 5)
    np.testing.assert_array_equal(by_mask.index, select_features(values, label, train, 5).index)


@pytest.mark.parametrize("features", [40, 100])
def test_all_features_are_kept_in_order_where_enough_are_asked_for(features):
    values, label, train = cohort()
    names = [f"g{number}" for number in range(40)]
    kept = select_features(values, label, train, features, names=names)
    assert kept.names == tuple(names)
    assert kept.index.tolist() == list(range(40))
    assert np.isnan(kept.score).all()


# Errors


def line(values, label, train, features=5, **options) -> str:
    with pytest.raises(CchError) as error:
        select_features(values, label, train, features, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bad_requests_get_one_line():
    values, label, train = cohort()
    assert "at least 1" in line(values, label, train, 0)
    assert "(119,)" in line(values, label[1:], train)
    assert "fewer than two classes" in line(values, label, train[label[train] == 0])
    assert "no training rows" in line(values, label, train[:0])
    assert "0..119" in line(values, label, np.array([0, 120]))
    assert "(7,)" in line(values, label, np.ones(7, dtype=bool))
    assert "39 names for 40" in line(values, label, train, names=["g"] * 39)
    assert "use train or all" in line(values, label, train, rows="test")
    assert "use mrmr or" in line(values, label, train, method="lasso")
    assert "(120,)" in line(values[:, 0], label, train)
    infinite = values.copy()
    infinite[train[3], 2] = np.inf
    assert "infinite" in line(infinite, label, train)
    constant = values.copy()
    constant[:, 3:] = 1
    assert "only 3" in line(constant, label, train)


def test_mrmr_itself_wants_whole_tables_and_classes():
    values, label, _ = cohort()
    with pytest.raises(CchError, match="NaN"):
        mrmr(values, label, 5)
    with pytest.raises(CchError, match="7 columns were fitted"):
        Columns(*np.zeros((3, 7))).transform(values)


# On disk


def written(path: Path) -> tuple[Path, dict]:
    values, label, train = cohort()
    selections = {seed: select_features(values, label, train[seed:], 5) for seed in (0, 4)}
    names = [f"gène{number}" for number in range(40)]
    write_selection(path, selections, names=names, modality="cnv", dataset="0" * 64)
    return path, selections


def test_a_selection_file_gives_back_what_was_written(tmp_path):
    path, selections = written(tmp_path / "deep" / "cnv.h5")
    file = SelectionFile(path)
    assert file.seeds == [0, 4]
    assert file.header == {
        "format": "cch-selection-1",
        "modality": "cnv",
        "method": "mrmr",
        "rows": "train",
        "features": 5,
        "dataset": "0" * 64,
        "seeds": [0, 4],
        "train_rows": [80, 76],
    }
    assert file.chosen(4) == [f"gène{number}" for number in selections[4].index]
    for number, seed in enumerate(file.seeds):
        for name in ("index", "score", "relevance"):
            expected = getattr(selections[seed], name)
            np.testing.assert_array_equal(getattr(file, name)[number], expected)
    inputs = file.inputs(cohort()[0])
    assert (inputs.shape, inputs.dtype) == ((2, 120, 5), np.float32)
    np.testing.assert_array_equal(inputs[1], selections[4].inputs(cohort()[0]))


def test_equal_selections_give_equal_bytes(tmp_path):
    one, _ = written(tmp_path / "one.h5")
    two, _ = written(tmp_path / "two.h5")
    assert one.read_bytes() == two.read_bytes()


def test_inputs_have_mean_zero_and_deviation_one_on_training_rows(tmp_path):
    values, _, train = cohort()
    inputs = SelectionFile(written(tmp_path / "cnv.h5")[0]).inputs(values)[0, train]
    # Eighty numbers rounded to float32.
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std(axis=0), 1, atol=1e-6)


def test_seeds_that_do_not_agree_are_refused(tmp_path):
    values, label, train = cohort()
    mixed = {seed: select_features(values, label, train, 5 + seed) for seed in (0, 1)}
    for selections in (mixed, {}):
        with pytest.raises(CchError, match="agree"):
            write_selection(
                tmp_path / "x.h5", selections, names=["g"] * 40, modality="cnv", dataset=""
            )
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_selection_get_one_line(tmp_path):
    import h5py

    with pytest.raises(CchError, match="no such"):
        SelectionFile(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(CchError, match="cannot be read"):
        SelectionFile(tmp_path / "text.h5")
    path, _ = written(tmp_path / "cnv.h5")
    with pytest.raises(CchError, match="39"):
        SelectionFile(path).inputs(cohort()[0][:, :39])
    with pytest.raises(CchError, match="no seed 3"):
        SelectionFile(path).chosen(3)
    with h5py.File(path, "r+") as file:
        del file["sd"]
        file["sd"] = np.zeros((1, 5))
    with pytest.raises(CchError, match="differ in shape"):
        SelectionFile(path)
    with h5py.File(path, "r+") as file:
        file.attrs["header"] = '{"format": "cch-runs-1"}'
    with pytest.raises(CchError, match="cch-runs-1"):
        SelectionFile(path)
