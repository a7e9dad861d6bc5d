"""Drawings that hold no measurement: they show the sizes and settings of their cells."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from cch.tables.documents import parse_document
from cch.tables.figures import draw_architecture, draw_pairs, save
from support import stored_cell, stored_table

SAID = {
    "teacher": "mrna", "student": "cnv", "features": "30", "encoder": "48", "batch-norm": "yes",
    "dropout": "0.35", "classes": "5", "temperature": "4", "weight": "0.7",
    "teacher-head": "supervised",
}  # fmt: skip


def drawn(tmp_path, **change: str) -> list[list[str]]:
    """The words of both panels of Figure 3, direct and with distillation."""
    said = (SAID | change).items()
    cells = {f"{k}/value": stored_cell(f"fig03/{k}/value", text=text) for k, text in said}
    table = stored_table("fig03", cells, number="Figure 3", title="Fusion")
    document = parse_document(table, "fig03")
    open_before = plt.get_fignums()
    figure = draw_architecture(document)
    words = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    save(figure, tmp_path / "fig03.pdf", tmp_path / "fig03.png")
    assert plt.get_fignums() == open_before
    return words


def test_the_fusion_is_drawn_with_the_sizes_of_its_cells(tmp_path):
    direct, distilled = drawn(tmp_path)
    assert direct.count("Linear 48, ReLU\nBatchNorm\nDropout 0.35") == 2
    assert {"mrna (teacher)\n30 features", "cnv (student)\n30 features"} < set(direct)
    assert "Fusion head\nLinear 5" in direct
    assert "Head\nLinear 5" not in direct
    assert distilled.count("Head\nLinear 5") == 2
    assert any("T = 4" in word and "= 0.7" in word for word in distilled)
    assert not any("KL" in word for word in direct)


@pytest.mark.parametrize(("head", "losses"), [("supervised", 2), ("untrained", 1)])
def test_a_head_that_learns_from_labels_has_a_loss(tmp_path, head, losses):
    direct, distilled = drawn(tmp_path, **{"teacher-head": head})
    assert direct.count("cross-entropy") == 1
    assert distilled.count("cross-entropy") == losses


def test_equal_cells_give_equal_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        drawn(tmp_path / name, **{"batch-norm": "no"})
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / name / f"fig03.{suffix}").read_bytes() for name in "ab")
        assert first == second


def test_pairs_are_drawn_row_by_row_with_their_intervals(tmp_path):
    columns = ("baseline", "difference-t2-w0.5", "difference-t4-w0.5")
    cells = {
        f"a-b-{level}/{column}": stored_cell(f"p/a-b-{level}/{column}", value=value, se=0.01, n=3)
        for level, value in (("0", 0.2), ("0.4", -0.1))
        for column in columns
    }
    cells[f"a-b-0/{columns[1]}"] |= {"value": None, "se": None}
    interval = {"low": -0.15, "high": -0.02, "se": 0.02, "p": 0.1, "design": "fixed"}
    cells[f"a-b-0.4/{columns[1]}"] |= {"interval": interval}
    table = stored_table("p", cells, number="Pairs p", title="Pairs", kind="pairs")
    figure = draw_pairs(parse_document(table, "p"))
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a-b-0", "a-b-0.4"]
    points = [container.lines[0].get_xdata().tolist() for container in axis.containers]
    assert points == [[-0.1], [0.2], [-0.1]]
    (bar,) = [
        line.get_segments()[0][:, 0] for container in axis.containers for line in container[2]
    ]
    assert bar.tolist() == pytest.approx([-0.15, -0.02])
    assert axis.yaxis_inverted()
    save(figure, tmp_path / "p.pdf", tmp_path / "p.png")
