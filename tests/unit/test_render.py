"""CSV, Markdown, LaTeX and the comparison page from table documents."""

import copy
import csv
import io
import math
import re
import shutil
import subprocess
from typing import get_args

import pytest
from matplotlib.mathtext import MathTextParser

from cch.base.errors import CchError
from cch.tables import render
from cch.tables.documents import Document, Verdict, format_value, parse_document
from cch.tables.render import CSV_FIELDS, MARKED, VERDICTS
from support import stored_cell


def read(document: dict) -> Document:
    return parse_document(document, document.get("id", "a table"))


def to_csv(document: dict) -> str:
    return render.to_csv(read(document))


def to_markdown(document: dict) -> str:
    return render.to_markdown(read(document))


def to_latex(document: dict) -> str:
    return render.to_latex(read(document))


def to_comparison(documents: list[dict]) -> str:
    return render.to_comparison([read(document) for document in documents])


def cell(identity, value=0.5, text=None, **more):
    text = format_value(value) if text is None else text
    return stored_cell(identity, value=value, text=text, n=5) | more


@pytest.fixture
def document():
    return {
        "format": "cch-table-2",
        "id": "table01",
        "kind": "table",
        "study": None,
        "panels": [],
        "number": "Table 1",
        "title": "Gap under blur (α = 0.2)",
        "caption": "Difference of means, 100 % of rows_used.",
        "row_label": "γ",
        "deviations": [
            {"study": "digits", "path": "epochs", "ours": 20, "paper": [100]},
            {"text": "scikit-learn's digits stand in for MNIST"},
        ],
        "columns": [
            {"key": "mi-gap", "label": "MI gap", "unit": "nats", "style": None},
            {"key": "kd", "label": "Accuracy, σ12", "unit": None, "style": None},
        ],
        "rows": [{"key": "0", "label": "0.0"}, {"key": "2.5", "label": "2.5"}],
        "cells": {
            "0/mi-gap": cell(
                "table01/0/mi-gap",
                0.43991234567890123,
                "0.4399 ± 0.0100",
                unit="nats",
                se=0.01,
                paper={"text": "0.4399", "value": 0.4399, "se": None},
                verdict="reproduced",
            ),
            "2.5/mi-gap": cell(
                "table01/2.5/mi-gap",
                -0.0032,
                unit="nats",
                n=4,
                verdict="undetermined",
                flags=["1 of 5 runs diverged: seeds [3]", "seed 2: below zero"],
            ),
            "2.5/kd": cell("table01/2.5/kd", None, n=0, flags=["seed 2: below zero"]),
        },
        "notes": [
            {
                "label": "Teacher accuracy",
                "cell": cell(
                    "table01/notes/teacher",
                    0.98,
                    paper={"text": "0.981", "value": 0.981, "se": None},
                    verdict="differs",
                ),
            }
        ],
    }


def one_cell(document, **more):
    """The document with nothing but a text cell, changed as said."""
    changed = copy.deepcopy(document)
    changed["cells"] = {"0/kd": cell("table01/0/kd", "Adam", n=None) | more}
    changed["notes"] = []
    return changed


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


def markdown_rows(text):
    """Cells of the lines of a Markdown table, without its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    split = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[entry.strip() for entry in line] for line in split if "---" not in line[0]]


class TestFormatValue:
    def test_value_and_standard_error_share_the_digits(self):
        assert format_value(0.43991, 0.01, 4) == "0.4399 ± 0.0100"
        assert format_value(12.5, 0.25, 1) == "12.5 ± 0.2"

    def test_a_minus_sign_is_kept_unless_all_digits_are_zero(self):
        assert format_value(-0.0032) == "-0.0032"
        assert format_value(-0.00001) == "0.0000"

    @pytest.mark.parametrize("value", [None, math.nan, math.inf])
    def test_no_number_is_a_dash(self, value):
        assert format_value(value, 0.1) == "–"

    @pytest.mark.parametrize("se", [None, math.nan])
    def test_an_unknown_standard_error_is_left_out(self, se):
        assert format_value(1, se, 2) == "1.00"

    def test_text_is_left_alone(self):
        assert format_value("60,000 / 10,000") == "60,000 / 10,000"


class TestCsv:
    def test_every_cell_and_note_is_one_line_that_reads_back(self, document):
        lines = read_csv(to_csv(document))
        assert tuple(lines[0]) == CSV_FIELDS
        assert [(line["row"], line["column"]) for line in lines] == [
            ("0.0", "MI gap"),
            ("2.5", "MI gap"),
            ("2.5", "Accuracy, σ12"),
            ("", "Teacher accuracy"),
        ]
        assert float(lines[0]["value"]) == document["cells"]["0/mi-gap"]["value"]
        assert lines[0]["text"] == "0.4399 ± 0.0100"
        assert (lines[0]["unit"], lines[0]["n"], lines[0]["se"]) == ("nats", "5", "0.01")
        assert (lines[0]["paper"], lines[0]["verdict"]) == ("0.4399", "reproduced")
        assert lines[1]["flags"] == "1 of 5 runs diverged: seeds [3]; seed 2: below zero"

    def test_every_line_carries_the_marks(self, document):
        for line in read_csv(to_csv(document)):
            assert line["deviations"] == (
                "epochs: 20 (paper: 100); scikit-learn's digits stand in for MNIST"
            )

    def test_a_cell_without_a_value_has_an_empty_value_and_a_dash(self, document):
        line = read_csv(to_csv(document))[2]
        assert (line["value"], line["text"], line["n"], line["se"]) == ("", "–", "0", "")

    @pytest.mark.parametrize("text", ['a "quoted", b', "two\nlines", "tab\tinside", "ünïcode γ"])
    def test_any_text_reads_back(self, document, text):
        line = read_csv(to_csv(one_cell(document, value=text, text=text)))[0]
        assert (line["value"], line["text"]) == (text, text)

    @pytest.mark.parametrize(
        "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1"]
    )
    def test_a_formula_is_disarmed_in_every_field(self, document, text):
        changed = one_cell(document, value=text, text=text, unit=text, flags=[text])
        changed["rows"][0]["label"] = changed["columns"][1]["label"] = text
        changed["deviations"] = [{"text": text}]
        line = read_csv(to_csv(changed))[0]
        for name in ("value", "text", "unit", "flags", "row", "column", "deviations"):
            assert line[name] == "'" + text.replace("\r", "\n")

    @pytest.mark.parametrize("text", ["-0.0032", "-0.1190 ± 0.0165", "+5%", "-1e-05", "-1,000"])
    def test_a_negative_number_stays_a_number(self, document, text):
        assert read_csv(to_csv(one_cell(document, text=text)))[0]["text"] == text


class TestMarkdown:
    def test_the_title_has_the_number_and_the_marks_stand_right_under_it(self, document):
        lines = to_markdown(document).splitlines()
        assert lines[0] == "# Table 1. Gap under blur (α = 0.2)"
        assert lines[2].startswith(f"**{MARKED}: epochs: 20 (paper: 100); scikit-learn's")
        assert lines[2].endswith("**")

    def test_a_table_as_in_the_paper_has_no_marks(self, document):
        document["deviations"] = []
        assert MARKED not in to_markdown(document)

    def test_units_are_in_the_heading_and_not_in_the_cells(self, document):
        assert markdown_rows(to_markdown(document))[:2] == [
            ["γ", "MI gap (nats)", "Accuracy, σ12"],
            ["0.0", "0.4399 ± 0.0100<br>paper: 0.4399", ""],
        ]

    def test_another_n_no_value_and_flags_show_in_the_cell(self, document):
        text = to_markdown(document)
        assert markdown_rows(text)[2] == [
            "2.5",
            "-0.0032 (n = 4)<sup>1, 2</sup>",
            "– (n = 0)<sup>2</sup>",
        ]
        assert "1. 1 of 5 runs diverged: seeds \\[3\\]\n2. seed 2: below zero" in text
        assert "n = 5 where no other n is stated. ± is the standard error over n, s/√n" in text

    def test_one_n_for_all_is_said_once(self, document):
        del document["cells"]["2.5/mi-gap"], document["cells"]["2.5/kd"]
        assert "\n\nn = 5. ±" in to_markdown(document)

    def test_notes_follow_with_the_papers_value(self, document):
        assert "- Teacher accuracy: 0.9800, paper: 0.981" in to_markdown(document)

    def test_a_unit_that_the_heading_does_not_state_is_in_the_cell(self, document):
        document["notes"][0]["cell"]["unit"] = "nats"
        assert "Teacher accuracy: 0.9800 nats" in to_markdown(document)

    def test_text_cells_have_no_n(self, document):
        text = to_markdown(one_cell(document))
        assert markdown_rows(text)[1] == ["0.0", "", "Adam"]
        assert "n = " not in text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a|b", r"a\|b"),
            ("x_1 * y_2", r"x\_1 \* y\_2"),
            ("<script>", r"\<script\>"),
            ("[a](b)", r"\[a\](b)"),
            ("~~x~~ `y` $z$", r"\~\~x\~\~ \`y\` \$z\$"),
            ("back\\slash", r"back\\slash"),
            ("&lt; & co", "&amp;lt; & co"),
            ("two\nlines", "two lines"),
            ("# no heading", r"\# no heading"),
            ("1. no list", r"1\. no list"),
            ("- no list", r"\- no list"),
            ("-0.5", "-0.5"),
        ],
    )
    def test_text_is_shown_as_it_is(self, document, text, shown):
        assert markdown_rows(to_markdown(one_cell(document, text=text)))[1][2] == shown

    def test_equal_headings_are_told_apart_by_their_panel(self, document):
        document["columns"][0]["label"] = document["columns"][1]["label"] = "with KD"
        document["columns"][0]["unit"] = None
        document["panels"] = [
            {"key": "a", "title": "λ = 0.2", "y_label": "", "columns": ["kd"], "rows": []}
        ]
        assert markdown_rows(to_markdown(document))[0] == [
            "γ",
            r"with KD \[mi-gap\] (nats)",
            r"with KD \[λ = 0.2\]",
        ]


class TestLatex:
    def test_structure(self, document):
        lines = to_latex(document).splitlines()
        assert r"\begin{tabular}{lrr}" in lines
        body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
        assert body == [
            r"$\gamma$ & MI gap (nats) & Accuracy, $\sigma_{12}$ \\",
            r"\midrule",
            r"0.0 & 0.4399 $\pm$ 0.0100 &  \\",
            r"\quad\textit{paper} & 0.4399 &  \\",
            r"2.5 & $-$0.0032 (n = 4)\textsuperscript{1, 2} & -- (n = 0)\textsuperscript{2} \\",
        ]
        assert r"\label{tab:table01}" in lines
        for name in ("table", "tabular"):
            assert sum(rf"\begin{{{name}}}" in line for line in lines) == 1
            assert sum(rf"\end{{{name}}}" in line for line in lines) == 1

    def test_the_marks_are_in_the_caption(self, document):
        caption = next(x for x in to_latex(document).splitlines() if x.startswith(r"\caption"))
        assert r"(Table 1). \textbf{Not the paper's setting: epochs: 20 (paper: 100);" in caption
        assert r"100 \% of rows\_used." in caption

    def test_notes_and_footnotes_stand_under_the_table(self, document):
        text = to_latex(document)
        assert text.index(r"\end{tabular}") < text.index("Teacher accuracy: 0.9800, paper: 0.981")
        assert r"\textsuperscript{2} seed 2: below zero\par" in text

    @pytest.mark.parametrize(
        ("text", "tex"),
        [
            ("50 % & more_less #1 $5 {x}", r"50 \% \& more\_less \#1 \$5 \{x\}"),
            ("a\\b ~ ^", r"a\textbackslash{}b \textasciitilde{} \textasciicircum{}"),
            ("<|>", r"\textless{}\textbar{}\textgreater{}"),
            ("[1]*", "{[}1{]}{*}"),
            ("α β λ ς Σ Α ο", r"$\alpha$ $\beta$ $\lambda$ $\varsigma$ $\Sigma$ $\mathrm{A}$ "
             r"$\mathrm{o}$"),
            ("σ12 σ_13 σ₂₃ γ 5", r"$\sigma_{12}$ $\sigma_{13}$ $\sigma_{23}$ $\gamma$ 5"),
            ("-0.5 ± -.5, −1", r"$-$0.5 $\pm$ $-$.5, $-$1"),
            ("1e-05, 0.1-0.2, scikit-learn", "1e-05, 0.1-0.2, scikit-learn"),
            ("$γ±", r"\$$\gamma\pm$"),
            ("two\nlines", "two lines"),
            ("– … “x”", r"-- \ldots{} ``x''"),
        ],
    )  # fmt: skip
    def test_escapes(self, document, text, tex):
        lines = to_latex(one_cell(document, text=text)).splitlines()
        assert lines[lines.index(r"\midrule") + 1] == rf"0.0 &  & {tex} \\"

    def test_every_greek_letter_and_sign_is_mathematics_that_parses(self, document):
        letters = "αβγδεζηθικλμνξοπρςστυφχψωΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"
        signs = "±×·−≤≥≈≠∞→←∈°µϵϕ₀₁₉⁰²"
        text = to_latex(one_cell(document, text=" x ".join(letters + signs)))
        line = next(x for x in text.splitlines() if x.startswith("0.0 &"))
        assert line.isascii()
        formulas = re.findall(r"(?<!\\)\$[^$]+\$", line)
        assert len(formulas) == len(letters + signs)
        for formula in formulas:
            MathTextParser("path").parse(formula)

    @pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
    def test_it_compiles(self, document, tmp_path):
        nasty = '[x]* ±σ12 % & _ # $ { } ~ ^ \\ < > | " ’ – ∞ é'
        document["rows"][1]["label"] = nasty
        document["deviations"].append({"text": nasty})
        document["caption"] = nasty
        source = (
            "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"
            + to_latex(document)
            + "\\end{document}\n"
        )
        (tmp_path / "t.tex").write_text(source, encoding="utf-8")
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"],
            cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


class TestComparison:
    def test_every_cell_is_a_line_beside_the_papers(self, document):
        lines = markdown_rows(to_comparison([document]).split("## Table 1")[1])
        assert [line[0] for line in lines[1:]] == [
            "`table01/0/mi-gap`",
            "`table01/2.5/mi-gap`",
            "`table01/2.5/kd`",
            "`table01/notes/teacher`",
        ]
        assert lines[1][3:] == ["0.4399 ± 0.0100 nats", "0.4399", "5", "reproduced", ""]
        assert lines[3][3:] == ["–", "", "0", "not in the paper", "seed 2: below zero"]

    def test_verdicts_are_counted_per_table_and_in_all(self, document):
        other = one_cell(document) | {"id": "table09", "number": "Table 9"}
        lines = markdown_rows(to_comparison([document, other]).split("## Table 1")[0])
        assert lines[0] == ["", *VERDICTS, "cells"]
        assert lines[1] == ["Table 1", "0", "1", "0", "1", "0", "1", "0", "1", "4"]
        assert lines[2] == ["Table 9", "0", "0", "0", "0", "0", "0", "0", "1", "1"]
        assert lines[3] == ["**all**", "0", "1", "0", "1", "0", "1", "0", "2", "5"]

    def test_marks_stand_under_each_title(self, document):
        page = to_comparison([document])
        assert f"## Table 1. Gap under blur (α = 0.2)\n\n**{MARKED}: epochs" in page

    def test_each_verdict_is_explained(self):
        assert set(VERDICTS) == set(get_args(Verdict))


@pytest.mark.parametrize("render", [to_csv, to_markdown, to_latex, lambda d: to_comparison([d])])
class TestAll:
    def test_marks_are_in_every_format(self, document, render):
        assert "epochs: 20 (paper: 100)" in render(document)

    def test_rendering_changes_nothing_and_repeats(self, document, render):
        before = copy.deepcopy(document)
        assert render(document) == render(document)
        assert document == before

    def test_a_document_without_cells_renders(self, document, render):
        document |= {"rows": [], "columns": [], "cells": {}, "notes": []}
        assert render(document).endswith("\n")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                {"format": "cch-table-9"},
                "table01: is no table document: its format is 'cch-table-9', expected",
            ),
            ({"cells": {"7/kd": cell("x")}}, "cell '7/kd' is at no row and column"),
            (
                {"cells": {"0/kd": cell("x", verdict="fine")}},
                "cells.0/kd.verdict: Input should be 'as published'",
            ),
            ({"rows": [{"key": "0", "label": "a"}] * 2, "cells": {}}, "keys of rows repeat"),
        ],
    )
    def test_a_document_that_would_lose_a_number_is_refused(self, document, render, change, words):
        with pytest.raises(CchError, match=re.escape(words)):
            render(document | change)

    def test_a_document_without_marks_is_refused(self, document, render):
        del document["deviations"]
        with pytest.raises(CchError, match=r"table01: .*it has no 'deviations'"):
            render(document)
