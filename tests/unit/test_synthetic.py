"""Appendix B's sampler against its closed forms."""

import numpy as np
import pytest
from scipy import stats

from cch.base.errors import CchError
from cch.config import SyntheticDataset
from cch.data.datasets.registry import prepare_dataset
from cch.data.datasets.synthetic import (
    conditional,
    innovations,
    prepare,
    teacher_name,
    teacher_values,
)
from cch.data.paired import PairedDataset, write_paired
from cch.information.gaussian import (
    SyntheticModel,
    conditional_variance,
    linear_information_nats,
    mutual_information_nats,
)

GRID = [0.0, 0.1, 0.36, 0.5, 0.7]


def spec(**changes) -> SyntheticDataset:
    few = {"train": 12, "test": 5, "features": 3, "sigma_12": [0.1, 0.6], "draws": 3}
    return SyntheticDataset(kind="synthetic", **(few | changes))


def sample(model: SyntheticModel, rows: int) -> np.ndarray:
    """Rows of (X1, X2, Y) from the sampler, (rows, 2p + 1)."""
    drawn = innovations(
        SyntheticDataset(
            kind="synthetic",
            train=rows,
            test=1,
            features=model.features,
            sigma_12=[model.sigma_12],
            sigma_13=model.sigma_13,
            sigma_23=model.sigma_23,
        ),
        0,
        "train",
    )
    x1 = teacher_values(drawn, model.law)
    return np.column_stack([x1, drawn.student, drawn.label])


def by_determinants(covariance: np.ndarray, a: slice, b: slice) -> float:
    """I(a; b) in nats as the difference of log determinants."""
    both = np.r_[a, b]

    def logdet(index):
        return np.linalg.slogdet(covariance[index][:, index])[1]

    return 0.5 * (logdet(a) + logdet(b) - logdet(both))


class TestSampler:
    @pytest.mark.parametrize("sigma_12", [0.0, 0.3, 0.7])
    def test_mean_and_covariance_of_many_rows(self, sigma_12):
        model, rows = SyntheticModel(4, sigma_12), 200_000
        z, covariance = sample(model, rows), model.covariance()
        assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(rows)
        # Of Gaussian entries: Var(mean of z_i z_j) = (S_ii S_jj + S_ij^2) / n; 45 entries, 5 sigma.
        error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / rows)
        assert (np.abs(z.T @ z / rows - covariance) < 5 * error).all()

    def test_conditionals_are_those_of_appendix_b(self):
        model, rows = SyntheticModel(3, 0.5), 100_000
        z = sample(model, rows)
        x1, x2, y = z[:, :3], z[:, 3:6], z[:, 6]
        a, b, v = (0.5 - 0.36) / 0.84, (0.9 - 0.2) / 0.84, 1 - (0.25 + 0.81 - 0.36) / 0.84
        residual1 = x1 - a * x2 - b * y[:, None]
        residual2 = x2 - 0.4 * y[:, None]
        for residual, variance, given in (
            (residual1, v, np.column_stack([x2, y])),
            (residual2, 0.84, y[:, None]),
        ):
            scale = residual / np.sqrt(variance)
            # Identity covariance, no dependence on what is given, Gaussian.
            assert np.abs(scale.T @ scale / rows - np.eye(3)).max() < 5 * np.sqrt(2 / rows)
            assert np.abs(scale.T @ given / rows).max() < 5 / np.sqrt(rows)
            assert stats.kstest(scale.ravel(), "norm").pvalue > 1e-4

    def test_a_b_and_v_by_hand(self):
        # phi = 0.75: a = (0.5 - 0.3) / 0.75, b = (0.6 - 0.25) / 0.75,
        # v = 1 - (0.25 + 0.36 - 0.3) / 0.75.
        law = conditional(0.5, 0.6, 0.5)
        np.testing.assert_allclose(law, (0.2 / 0.75, 0.35 / 0.75, 1 - 0.31 / 0.75), rtol=1e-14)

    def test_v_of_zero_makes_x1_a_function_of_x2_and_y(self):
        # sigma_12 = sigma_13 sigma_23 +- sqrt(phi_13 phi_23) = 0.48 - 0.48: rounding gives v < 0.
        law = conditional(0.0, 0.6, 0.8)
        assert law.v == 0
        drawn = innovations(spec(sigma_13=0.6, sigma_23=0.8, sigma_12=[0.1]), 0, "train")
        x1 = teacher_values(drawn, law)
        np.testing.assert_allclose(x1, law.a * drawn.student + law.b * drawn.label[:, None])

    def test_an_impossible_correlation(self):
        with pytest.raises(CchError, match="negative variance"):
            conditional(0.8, 0.9, 0.4)
        with pytest.raises(CchError, match="sigma_23 must lie"):
            conditional(0.1, 0.1, 1.0)


class TestPrepare:
    def test_shapes_and_names(self):
        contents = prepare(spec())
        assert set(contents.modalities) == {"x2", "x1@0.1", "x1@0.6"}
        for name, modality in contents.modalities.items():
            assert modality.values.shape == (3 * 17, 3)
            assert modality.values.dtype == np.float32
            assert modality.feature[0] == f"{name.split('@')[0]}[0]"
        assert contents.task == "regression"
        assert contents.sample[17 + 12] == "draw1-test-00000"
        np.testing.assert_array_equal(contents.draw, np.repeat([0, 1, 2], 17))
        assert contents.split[:17] == ["train"] * 12 + ["test"] * 5

    def test_a_seed_reads_its_draw(self, tmp_path):
        write_paired(tmp_path / "a.h5", prepare_dataset("s", spec(), {}, {}))
        with PairedDataset(tmp_path / "a.h5") as dataset:
            np.testing.assert_array_equal(dataset.rows("test", 1), np.arange(29, 34))
            np.testing.assert_array_equal(dataset.rows("train", 2), np.arange(34, 46))
            with pytest.raises(CchError, match="holds 3 draws, seed 3 has none"):
                dataset.rows("train", 3)

    def test_values_are_the_samplers_rounded_once(self):
        contents = prepare(spec())
        for draw, start, part, count in [(0, 0, "train", 12), (2, 46, "test", 5)]:
            drawn = innovations(spec(), draw, part)
            rows = slice(start, start + count)
            np.testing.assert_array_equal(contents.label[rows], drawn.label.astype(np.float32))
            x2, x1 = (contents.modalities[name].values[rows] for name in ("x2", "x1@0.6"))
            np.testing.assert_array_equal(x2, drawn.student.astype(np.float32))
            expected = teacher_values(drawn, conditional(0.6, 0.9, 0.4)).astype(np.float32)
            np.testing.assert_array_equal(x1, expected)

    def test_common_random_numbers_across_sigma_12(self):
        drawn = innovations(spec(), 0, "train")
        contents = prepare(spec())
        y, x2 = drawn.label[:, None], drawn.student
        for sigma_12 in (0.1, 0.6):
            law = conditional(sigma_12, 0.9, 0.4)
            x1 = contents.modalities[teacher_name(sigma_12)].values[:12].astype(float)
            innovation = (x1 - law.a * x2 - law.b * y) / np.sqrt(law.v)
            np.testing.assert_allclose(innovation, drawn.teacher, atol=1e-5)

    def test_more_sigmas_draws_or_rows_change_nothing_that_was(self):
        small = prepare(spec())
        large = prepare(spec(sigma_12=[0.3, 0.6, 0.1], draws=5, train=20, test=9))
        rows = [i for i, name in enumerate(large.sample) if name in set(small.sample)]
        assert [large.sample[i] for i in rows] == small.sample
        np.testing.assert_array_equal(large.label[rows], small.label)
        for name, modality in small.modalities.items():
            np.testing.assert_array_equal(large.modalities[name].values[rows], modality.values)

    def test_draws_and_parts_are_independent(self):
        big = spec(train=4000, test=4000, draws=2)
        labels = prepare(big).label.reshape(4, 4000)
        correlation = np.corrcoef(labels)[np.triu_indices(4, 1)]
        assert np.abs(correlation).max() < 5 / np.sqrt(4000)

    def test_another_seed_is_another_sample(self):
        first, second = prepare(spec()), prepare(spec(seed=1))
        assert not np.isin(first.label, second.label).any()

    def test_written_twice_are_the_same_bytes(self, tmp_path):
        for name in ("a.h5", "b.h5"):
            write_paired(tmp_path / name, prepare(spec()))
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()

    @pytest.mark.parametrize(
        ("value", "name"), [(0, "x1@0"), (-0.0, "x1@0"), (0.35, "x1@0.35"), (0.1 + 0.2, "x1@0.3")]
    )
    def test_names_of_teachers(self, value, name):
        assert teacher_name(value) == name


class TestClosedForms:
    @pytest.mark.parametrize("features", [1, 2, 20])
    @pytest.mark.parametrize("sigma_12", GRID)
    def test_information_equals_log_determinants(self, features, sigma_12):
        model = SyntheticModel(features, sigma_12)
        c, x1, x2, y = model.covariance(), model.x1, model.x2, model.y
        joint = slice(0, 2 * features)
        for closed, a, b in (
            (model.teacher_student_nats(), x1, x2),
            (model.teacher_label_nats(), x1, y),
            (model.student_label_nats(), x2, y),
            (model.joint_label_nats(), joint, y),
        ):
            assert closed == pytest.approx(by_determinants(c, a, b), rel=1e-9)
            assert closed == pytest.approx(mutual_information_nats(c, a, b), rel=1e-9)

    @pytest.mark.parametrize("sigma_12", GRID)
    def test_risks_equal_conditional_variances(self, sigma_12):
        model = SyntheticModel(20, sigma_12)
        c, label = model.covariance(), 40
        for closed, given in (
            (model.teacher_risk(), model.x1),
            (model.student_risk(), model.x2),
            (model.joint_risk(), slice(0, 40)),
        ):
            assert closed == pytest.approx(conditional_variance(c, label, given), rel=1e-9)

    @pytest.mark.parametrize("sigma_12", GRID)
    def test_linear_representations_are_the_best_weights(self, sigma_12):
        model = SyntheticModel(20, sigma_12)
        c = model.covariance()
        weights = [np.linalg.solve(c[x][:, x], c[x][:, model.y]).T for x in (model.x1, model.x2)]
        found = linear_information_nats(c, model.x1, model.x2, *weights)
        assert model.linear_teacher_student_nats() == pytest.approx(found, rel=1e-9)
        # Nothing about the label is lost: I(w* x2; y) = I(x2; y).
        kept = linear_information_nats(c, model.x2, model.y, weights[1], np.eye(1))
        assert model.student_label_nats() == pytest.approx(kept, rel=1e-9)

    def test_covariance_of_the_first_coordinates_is_the_smaller_models(self):
        large, small = SyntheticModel(5, 0.6).covariance(), SyntheticModel(2, 0.6).covariance()
        keep = [0, 1, 5, 6, 10]
        np.testing.assert_allclose(large[np.ix_(keep, keep)], small, atol=1e-15)

    def test_one_feature_is_the_correlation_matrix_of_the_paper(self):
        covariance = SyntheticModel(1, 0.6).covariance()
        np.testing.assert_allclose(covariance, [[1, 0.6, 0.9], [0.6, 1, 0.4], [0.9, 0.4, 1]])
        assert SyntheticModel(1, 0.6).teacher_student_nats() == pytest.approx(
            -0.5 * np.log(1 - 0.36)
        )

    def test_no_label_correlation_leaves_p_independent_pairs(self):
        model = SyntheticModel(7, 0.6, sigma_13=0.0, sigma_23=0.0)
        assert model.teacher_student_nats() == pytest.approx(-3.5 * np.log(1 - 0.36))
        assert model.student_label_nats() == 0
        assert model.student_risk() == 1

    def test_independent_modalities_share_nothing(self):
        model = SyntheticModel(7, 0.0, sigma_13=0.0, sigma_23=0.4)
        assert model.teacher_student_nats() == pytest.approx(0, abs=1e-12)

    def test_x1_adds_nothing_where_b_is_zero(self):
        # b = sigma_13 - sigma_12 sigma_23 = 0: Y - X2 - X1 is a chain.
        model = SyntheticModel(5, 0.5, sigma_13=0.2, sigma_23=0.4)
        assert model.joint_risk() == pytest.approx(model.student_risk(), rel=1e-12)

    def test_no_innovation_makes_the_information_infinite(self):
        model = SyntheticModel(4, 0.0, sigma_13=0.6, sigma_23=0.8)
        assert model.teacher_student_nats() == np.inf
        assert mutual_information_nats(model.covariance(), model.x1, model.x2) == np.inf
        assert (model.joint_label_nats(), model.joint_risk()) == (np.inf, 0.0)
        assert np.isfinite(model.student_label_nats())

    def test_information_between_modalities_falls_and_rises_over_sigma_12(self):
        # Section 4.1 calls it monotone; that holds for Eq. 7, not for the sampler.
        nats = [SyntheticModel(100, s).teacher_student_nats() for s in (0, 0.2, 0.36, 0.5, 0.7)]
        assert nats[0] > nats[1] > nats[2] < nats[3] < nats[4]

    def test_theorem_1s_condition_turns_at_sigma_12_of_two_fifths(self):
        label = SyntheticModel(100, 0.4).student_label_nats()
        assert SyntheticModel(100, 0.40).linear_teacher_student_nats() < label
        assert SyntheticModel(100, 0.41).linear_teacher_student_nats() > label

    def test_empirical_least_squares_reach_the_closed_risk(self):
        model, rows = SyntheticModel(20, 0.6), 40_000
        z = sample(model, 2 * rows)
        y_fit, y_test = z[:rows, 40], z[rows:, 40]
        for x, risk in (
            (model.x2, model.student_risk()),
            (model.x1, model.teacher_risk()),
            (slice(0, 40), model.joint_risk()),
        ):
            weights = np.linalg.lstsq(z[:rows, x], y_fit, rcond=None)[0]
            found = np.mean((y_test - z[rows:, x] @ weights) ** 2)
            # A squared Gaussian error has standard deviation sqrt(2) risk; fitting d weights on
            # n rows costs d / n of the risk.
            assert found == pytest.approx(risk, rel=5 * np.sqrt(2 / rows) + 2 * len(weights) / rows)

    def test_sampled_covariance_gives_the_closed_information(self):
        model, rows = SyntheticModel(3, 0.6), 200_000
        z = sample(model, rows)
        found = mutual_information_nats(z.T @ z / rows, model.x1, model.x2)
        # The plug-in estimate is off by about d1 d2 / 2n, and varies by sqrt(sum rho^2 / n).
        assert found == pytest.approx(model.teacher_student_nats(), abs=5 * np.sqrt(3 / rows))


class TestGaussianInformation:
    def test_one_pair(self):
        covariance = np.array([[4.0, 1.8], [1.8, 1.0]])
        expected = -0.5 * np.log(1 - 0.81)
        assert mutual_information_nats(covariance, [0], [1]) == pytest.approx(expected, rel=1e-12)

    def test_a_tiny_information_keeps_its_digits(self):
        rho = 1e-9
        covariance = np.eye(6)
        covariance[0, 3] = covariance[3, 0] = rho
        found = mutual_information_nats(covariance, [0, 1, 2], [3, 4, 5])
        assert found == pytest.approx(rho**2 / 2, rel=1e-9, abs=0)

    def test_it_is_symmetric_and_free_of_scale(self):
        generator = np.random.default_rng(4)
        factor = generator.normal(size=(7, 9))
        covariance = factor @ factor.T
        scale = np.diag([1e-3, 5, 1e2, 1, 1e-2, 7, 3])
        a, b = [0, 2, 5], [1, 3]
        plain = mutual_information_nats(covariance, a, b)
        assert plain == pytest.approx(by_determinants(covariance, a, b), rel=1e-9)
        assert plain == pytest.approx(mutual_information_nats(covariance, b, a), rel=1e-9)
        scaled = mutual_information_nats(scale @ covariance @ scale, a, b)
        assert plain == pytest.approx(scaled, rel=1e-6)

    def test_invertible_maps_keep_it_and_projections_lose(self):
        generator = np.random.default_rng(5)
        factor = generator.normal(size=(6, 8))
        covariance, a, b = factor @ factor.T, [0, 1, 2], [3, 4, 5]
        whole = mutual_information_nats(covariance, a, b)
        left, right = generator.normal(size=(2, 3, 3))
        mapped = linear_information_nats(covariance, a, b, left, right)
        assert mapped == pytest.approx(whole, rel=1e-9)
        assert linear_information_nats(covariance, a, b, left[:1], right[:2]) < whole

    def test_a_shared_coordinate_is_infinite(self):
        assert mutual_information_nats(np.eye(3), [0, 1], [1, 2]) == np.inf

    def test_eq_7_is_no_covariance_at_p_100(self):
        p = 100
        covariance = np.eye(2 * p + 1)
        covariance[:p, -1] = covariance[-1, :p] = 0.9
        covariance[p:-1, -1] = covariance[-1, p:-1] = 0.4
        with pytest.raises(CchError, match="canonical correlation of 9 > 1"):
            mutual_information_nats(covariance, slice(0, p), slice(2 * p, None))

    @pytest.mark.parametrize(
        ("covariance", "message"),
        [
            (np.ones((2, 3)), "expected a square matrix"),
            (np.array([[1.0, 0.2], [0.3, 1.0]]), "is not symmetric"),
            (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN"),
            (np.array([[0.0, 0.0], [0.0, 1.0]]), "singular"),
            (np.array([[-1.0, 0.0], [0.0, 1.0]]), "singular"),
        ],
    )
    def test_what_is_no_covariance(self, covariance, message):
        with pytest.raises(CchError, match=message):
            mutual_information_nats(covariance, [0], [1])

    def test_an_empty_or_dependent_group(self):
        with pytest.raises(CchError, match="are empty"):
            mutual_information_nats(np.eye(2), [], [1])
        with pytest.raises(CchError, match="singular"):
            mutual_information_nats(np.ones((3, 3)) + np.diag([0, 0, 1]), [0, 1], [2])

    def test_weights_that_do_not_fit(self):
        with pytest.raises(CchError, match="left: has 3 columns for 2 coordinates"):
            linear_information_nats(np.eye(3), [0, 1], [2], np.ones((1, 3)), np.ones((1, 1)))

    def test_a_model_that_is_none(self):
        with pytest.raises(CchError, match="negative variance"):
            SyntheticModel(3, 0.9)
        with pytest.raises(CchError, match="features"):
            SyntheticModel(0, 0.1)
