"""Copy-number segments averaged over genes and bins: against a sum over base pairs."""

from __future__ import annotations

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import TcgaDataset
from cch.data.datasets.matrix import LabelTable, Matrix
from cch.data.datasets.segments import LENGTHS, Regions, Segments, average, bins
from cch.data.datasets.tcga import prepare


def segments(*rows):
    """Rows of sample, chromosome, first, last, mean."""
    sample, chromosome, start, end, mean = zip(*rows, strict=True)
    columns = (np.array(column) for column in (chromosome, start, end, mean))
    return Segments.of(sample, *columns, origin="s.rda")


def regions(**places):
    return Regions.of(places, "g.rda")


def by_base_pair(found, region):
    """Mean over the base pairs of a region, each with the sum and number of its segments."""
    chromosome, first, last = region
    total = count = 0.0
    for _, number, start, end, mean in found:
        overlap = min(end, last) - max(start, first) + 1
        if number == chromosome and overlap > 0:
            total, count = total + overlap * mean, count + overlap
    return total / count


def test_a_gene_has_the_mean_of_its_segments_weighted_by_overlap():
    found = segments(("a", 1, 1, 100, 1.0), ("a", 1, 101, 200, -1.0))
    genes = regions(inside=(1, 10, 20), both=(1, 76, 125), most=(1, 26, 125), one=(1, 100, 100))
    values = dict(zip(genes.names, average(found, [0], genes).values[0], strict=True))
    assert values == pytest.approx({"inside": 1.0, "both": 0.0, "most": 0.5, "one": 1.0})
    assert genes.names == ("inside", "most", "both", "one"), "in genomic order"


def test_without_overlap_the_nearest_segment_of_the_chromosome_counts():
    found = segments(("a", 1, 100, 200, 1.0), ("a", 1, 300, 400, 2.0), ("a", 3, 5, 9, 7.0))
    genes = regions(
        start=(1, 1, 50), near=(1, 210, 220), far=(1, 270, 280), middle=(1, 249, 251),
        end=(1, 500, 510), other=(2, 1, 10), third=(3, 50, 60),
    )  # fmt: skip
    values = dict(zip(genes.names, average(found, [0], genes).values[0], strict=True))
    assert np.isnan(values.pop("other"))
    expected = {"start": 1, "near": 1, "far": 2, "middle": 1, "end": 2, "third": 7}
    assert values == pytest.approx(expected)


def test_many_segments_and_genes_give_what_a_sum_over_overlaps_gives():
    draw = np.random.default_rng(0)
    rows, places = [], {}
    for sample in ("b", "a"):
        for chromosome in (1, 9, 23):
            cuts = np.sort(draw.choice(np.arange(2, 5_000), 31, replace=False))
            # Neighbours meet, leave a gap or overlap.
            rows += [
                (sample, chromosome, int(first), int(last) + int(draw.integers(-3, 4)), mean)
                for first, last, mean in zip(cuts[:-1], cuts[1:], draw.normal(size=30), strict=True)
                if last - first > 4
            ]
    for number in range(300):
        chromosome, first = int(draw.choice([1, 9, 23])), int(draw.integers(500, 4_000))
        places[f"g{number:03d}"] = (chromosome, first, first + int(draw.integers(20, 600)))
    found, genes = segments(*rows), Regions.of(places, "g")
    assert found.samples == ("a", "b")
    values = average(found, [1, 0], genes)
    assert values.samples == ("b", "a")
    for row, sample in enumerate(values.samples):
        own = [entry for entry in rows if entry[0] == sample]
        expected = [by_base_pair(own, places[name]) for name in genes.names]
        np.testing.assert_allclose(values.values[row], expected, rtol=0, atol=1e-6)


def test_bins_cover_every_chromosome_once():
    found = bins(5)
    assert len(found.names) == sum(-(-length // 5_000_000) for length in LENGTHS)
    assert (found.end - found.start).sum() == sum(LENGTHS)
    assert found.names[0] == "1:1-5000000" and found.names[-1] == "X:155000001-155270560"
    whole = segments(*[("a", c, 1, n, c / 10) for c, n in enumerate(LENGTHS, start=1)])
    values = average(whole, [0], found).values[0]
    np.testing.assert_allclose(values, (found.start // (1 << 28)) / 10, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a", 24, 1, 5, 0.1), "a chromosome that is none of 1 to 23"),
        (("a", 1, 9, 5, 0.1), "ends before it starts"),
        (("a", 1, 1, 1 << 28, 0.1), "too late"),
        (("a", 1, 1, 5, np.nan), "not finite"),
    ],
)
def test_what_is_no_segment_is_one_line(row, said):
    with pytest.raises(CchError, match=rf"s\.rda: .*{said}"):
        segments(row)


def cohort(**change):
    sources = {"cnv": "cnv", "rppa": "rppa"}
    content = {"kind": "tcga", "title": "A", "cohorts": {"A": sources}, "segments": {"bins": 100}}
    content |= {"label": {"kind": "table", "source": "labels"}}
    return TcgaDataset.model_validate(content | change)


def test_a_cohort_averages_the_first_aliquot_of_a_case_or_all():
    found = segments(
        ("TCGA-AA-0001-01A-11D-A41E-01", 1, 1, 10, 1.0),
        ("TCGA-AA-0001-01B-11D-A41E-01", 1, 1, 10, 3.0),
        ("TCGA-AA-0002-01A-11D-A41E-01", 1, 1, 10, 5.0),
        ("TCGA-AA-0002-10A-01D-A41E-01", 1, 1, 10, 9.0),
    )
    names = ("TCGA-AA-0001", "TCGA-AA-0002", "TCGA-AA-0003")
    rppa = Matrix(np.ones((3, 1), dtype=np.float32), names, ("ab",), "r.csv")
    labels = LabelTable({"case": list(names), "label": ["x", "y", None]}, "l")
    for rule, expected in (("first", [1, 5]), ("mean", [2, 5])):
        contents = prepare(cohort(aliquots=rule), found, rppa, labels)
        np.testing.assert_array_equal(contents.modalities["cnv"].values[:, 0], expected)
    assert contents.notes["funnel"]["A"]["cnv"] == {
        "columns": 4, "primary tumours": 3, "cases": 2,
    }  # fmt: skip
    # Chromosomes without segments have no value in any case, and go.
    assert contents.notes["features"]["cnv"] == {"in all cohorts": 41, "with values": 3}


def test_segments_need_regions():
    with pytest.raises(ValueError, match="needs one of `genes` and `bins`"):
        cohort(segments={"bins": 5, "genes": "g"})
    with pytest.raises(ValueError, match="needs one of `genes` and `bins`"):
        cohort(segments={})
