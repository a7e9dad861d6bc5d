"""The audit: silent on what is whole, and naming what was tampered with."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cch.audit.derive import RULES, Derived, Place, _curve, _reading, derives
from cch.audit.metrics import metrics_again
from cch.audit.printed import (
    check_csv,
    check_latex,
    check_markdown,
    check_numbers,
    numbers,
    plain_tex,
    printed,
)
from cch.audit.report import Audit
from cch.audit.run import _check_text, audit
from cch.base.errors import CchError
from cch.base.files import sha256_file, write_json, write_text
from cch.cli import app
from cch.config.specs import NullTableSpec
from cch.criterion.gap import judge
from cch.information.calibration_model import Case, CaseResult, Response
from cch.information.units import to_bits
from cch.records.record import Recorder
from cch.tables import render
from cch.tables.documents import format_value, parse_document, write_document
from cch.tables.null_gaps import null_document
from cch.training.metrics import evaluate
from cch.workflow.planning import Plan
from small_tree import CHANGE, RESULTS, STUDY
from support import ROOT, raw_config, stored_cell, stored_table

TABLE = f"{RESULTS}/tables/table13"


@pytest.fixture
def tree(small_run, own_copy) -> Path:
    """A copy to tamper with; it is the working folder."""
    return own_copy(small_run())


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


def edit_json(path: str, change) -> None:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    change(content)
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def seal(*paths: str) -> None:
    """Forge the records of files, and of what read them, so that every digest agrees again."""
    for path in paths:
        for record in Path().rglob("*.record.json"):
            content = json.loads(record.read_text(encoding="utf-8"))
            for part in ("outputs", "inputs"):
                if path in content[part]:
                    content[part][path] = sha256_file(path)
            record.write_text(json.dumps(content), encoding="utf-8")


def found_in(results: str) -> list[str]:
    return audit(results).lines()


def found() -> list[str]:
    return found_in(RESULTS)


def another_digit(text: str) -> str:
    """The text with its last digit changed."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")


def cell(key: str) -> dict:
    return json.loads(Path(f"{TABLE}.json").read_text(encoding="utf-8"))["cells"][key]


def test_an_untouched_run_passes_strictly(tree):
    done = audit(RESULTS)
    assert done.lines(strict=True) == []
    assert done.counts["derived"] == done.counts["cells"] == 91
    assert done.counts["runs"] == 3 + 3 + 6
    assert done.counts["raw files"] == 1
    assert "91 of 91 cells were derived again from 12 runs, 8 estimates" in done.summary()


def test_it_passes_from_another_folder_too(tree, monkeypatch):
    monkeypatch.chdir("/")
    assert audit(tree / RESULTS).passed(strict=True)


def test_absolute_folders_are_audited_too(tree):
    """A configuration may name its results by an absolute path."""
    for record in Path().rglob("*.record.json"):
        content = json.loads(record.read_text(encoding="utf-8"))
        for part in ("outputs", "inputs"):
            content[part] = {f"{tree}/{name}": value for name, value in content[part].items()}
        record.write_text(json.dumps(content), encoding="utf-8")
    for path in [*Path(RESULTS, "tables").glob("*.json"), Path(RESULTS, "ledger.json")]:
        if ".record." not in path.name:
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(f'": "{RESULTS}', f'": "{tree}/{RESULTS}'), "utf-8")
            seal(f"{tree}/{path}")
    assert found() == []


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "md", "tex"])
def test_one_digit_of_a_rendered_table(tree, suffix, sealed):
    text = cell("0/kd")["text"].partition(" ")[0]
    path = f"{TABLE}.{suffix}"
    edit(path, f"{text} ", f"{another_digit(text)} ")
    if sealed:
        seal(path)
    lines = found()
    assert any(line.startswith(f"{path}: table13/0/kd: ") for line in lines)
    assert any("its bytes are not those of its record" in line for line in lines) != sealed
    assert all(path in line for line in lines)


def test_a_digit_of_an_unrounded_value_in_csv(tree):
    value = repr(cell("0/kd")["value"])
    edit(f"{TABLE}.csv", f",{value},", f",{another_digit(value)},")
    seal(f"{TABLE}.csv")
    (line,) = found()
    assert line.startswith(f"{TABLE}.csv: table13/0/kd: value is ")


def test_a_line_that_is_gone_or_was_added_to_csv(tree):
    path = Path(f"{TABLE}.csv")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[3].replace("table13/", "table99/"), *lines[4:]]))
    seal(str(path))
    said = found()
    assert f"{path}: table13/0/student-label is missing" in said
    assert any("the line 'table99/" in line for line in said)


def test_a_number_in_a_caption_that_is_in_no_cell(tree):
    edit(f"{TABLE}.md", "T = 3,", "T = 7,")
    seal(f"{TABLE}.md")
    assert found() == [f"{TABLE}.md: the number 7 stands in no cell"]


def test_a_byte_of_a_run_file(tree):
    path = Path(f"{RESULTS}/runs/{STUDY}/student.h5")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert found()[0].startswith(f"{path}: its bytes are not those of its record")


def test_stored_outputs_that_do_not_give_the_stored_metric(tree):
    import h5py

    path = f"{RESULTS}/runs/{STUDY}/student.h5"
    with h5py.File(path, "r+") as file:
        identity = json.loads(file["runs"][()])[0]["id"]
        file["logits"][0] = -file["logits"][0]
    seal(path)
    lines = found()
    assert any(line.startswith(f"{path}: run {identity}: accuracy is ") for line in lines)
    assert any(line.startswith("table13/0/kd: value is ") for line in lines)


@pytest.mark.parametrize("sealed", [False, True])
def test_the_value_of_a_cell(tree, sealed):
    path = f"{TABLE}.json"
    edit_json(path, lambda d: d["cells"]["0/kd"].update(value=d["cells"]["0/kd"]["value"] + 1e-9))
    if sealed:
        seal(path)
    lines = found()
    assert any(line.startswith("table13/0/kd: value is ") for line in lines)
    assert any(line.startswith(f"{path}: its bytes") for line in lines) != sealed


@pytest.mark.parametrize(
    ("key", "change", "what"),
    [
        ("0/kd", {"se": 0.5}, "se is 0.5, derived again"),
        ("0/kd", {"n": 4}, "n is 4, derived again 3"),
        ("0/mi-gap", {"unit": "bits"}, "unit is 'bits', derived again 'nats'"),
        ("0/kd", {"text": "0.9999"}, "text is '0.9999', printed again"),
        ("0/kd", {"id": "table13/1.5/kd"}, "is stored as table13/1.5/kd"),
        ("0/kd", {"members": []}, "rests on [], derived again on"),
        ("0/kd", {"paper": None}, "the paper's value is '', transcribed as '0.8484 ± 0.0019'"),
        ("0/difference", {"interval": None}, "interval is None, derived again {'low'"),
        ("0/difference", {"text": "0.0167 ± 0.0385"}, "text is '0.0167 ± 0.0385', printed again"),
        ("0/kd", {"inputs": [{"path": "x", "sha256": "0"}]}, "rests on x 0, the record of its"),
    ],
)
def test_a_part_of_a_cell(tree, key, change, what):
    edit_json(f"{TABLE}.json", lambda d: d["cells"][key].update(change))
    assert any(line.startswith(f"table13/{key}: {what}") for line in found())


@pytest.mark.parametrize(
    ("part", "value"), [("high", 0.5), ("p", 0.01), ("units", 4), ("design", "draws")]
)
def test_a_part_of_an_interval(tree, part, value):
    name = f"criterion-{STUDY}"
    key = "0/effect-t3-w0.5"
    path = f"{RESULTS}/tables/{name}.json"
    edit_json(path, lambda d: d["cells"][key]["interval"].update({part: value}))
    seal(path)
    said = f"{name}/{key}: {part} is {value!r}, derived again"
    assert any(line.startswith(said) for line in found())


def test_a_flag_that_a_verdict_does_not_have(tree):
    path = f"{RESULTS}/tables/criterion-{STUDY}.json"
    edit_json(path, lambda d: d["cells"]["0/verdict"].update(flags=["of other rows"]))
    seal(path)
    said = f"criterion-{STUDY}/0/verdict: flags are ['of other rows'], derived again []"
    assert said in found()


def test_a_cell_that_asks_for_another_level(tree):
    edit_json(f"{TABLE}.json", lambda d: d["cells"]["0/kd"]["query"].update(level="1.5"))
    assert "table13/0/kd: asks for level '1.5', its place says '0'" in found()


@pytest.mark.parametrize(("text", "wrong"), [("0.3702", 0), ("0.3703", 1)])
def test_a_mean_half_way_between_two_decimals_is_printed_as_it_is_stored(text, wrong):
    # One mean, added in two orders.
    stored, again = 0.37024999999999997, 0.37025
    assert (printed(stored, None), printed(again, None)) == ("0.3702", "0.3703")
    cell = {"value": stored, "se": None, "text": text, "query": {}}
    report = Audit(Path(RESULTS))
    _check_text(report, Place({"id": "table13"}, "0/kd", cell), Derived(again))
    assert len(report.problems) == wrong


def test_a_printed_number_in_bits_is_checked_in_bits(tree):
    def to_bits_with_nats(document):
        document["cells"]["0/mi-gap"]["text_unit"] = "bits"

    edit_json(f"{TABLE}.json", to_bits_with_nats)
    wanted = printed(cell("0/mi-gap")["value"], cell("0/mi-gap")["se"], bits=True)
    assert any(f"printed again {wanted!r}" in line for line in found())


@pytest.mark.parametrize("sealed", [False, True])
def test_a_raw_file(tree, sealed):
    path = "resources/digits/digits.csv.gz"
    Path(path).write_bytes(b"same digits")
    if sealed:
        seal(path)
    lines = found()
    assert all(path in line for line in lines)
    wanted = "the published digest" if sealed else "its bytes are not those of its record"
    assert any(wanted in line for line in lines)


def test_swapped_records(tree):
    paths = [Path(f"{RESULTS}/runs/{STUDY}/{role}.record.json") for role in ("teacher", "student")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    for path, text in zip(paths, reversed(texts), strict=True):
        path.write_text(text, encoding="utf-8")
    lines = found()
    for path in paths:
        assert any(line.startswith(f"{path}: is the record of ") for line in lines)


def test_an_older_record_of_the_same_file(tree):
    path = f"{RESULTS}/runs/{STUDY}/baseline.h5"
    edit_json(path.replace("h5", "record.json"), lambda r: r["outputs"].update({path: "0" * 64}))
    lines = found()
    assert any(line.startswith(f"{path}: its bytes are not those") for line in lines)
    assert any(line.startswith(f"{TABLE}.record.json: read {path} with sha256") for line in lines)


def test_an_edited_figure_datum(tree):
    name = f"sweep-{STUDY}"
    path = f"{RESULTS}/tables/{name}.json"
    key = "0/kd-t3-w0.5"
    edit_json(path, lambda d: d["cells"][key].update(value=0.99))
    lines = found()
    assert any(line.startswith(f"{name}/{key}: value is 0.99") for line in lines)
    for suffix in ("pdf", "png"):
        figure = f"{RESULTS}/figures/{name}.{suffix}"
        assert f"{figure}: was drawn from {path} with other bytes than now" in lines


@pytest.mark.parametrize("also_given", [False, True])
def test_a_table_of_other_code(tree, also_given):
    def forge(record):
        record["code"]["digest"] = "0" * 64
        if also_given:
            record["params"]["code"] = "0" * 64

    edit_json(f"{TABLE}.record.json", forge)
    lines = found()
    assert any(
        line.startswith(f"{TABLE}.json: was made by other code: tabulate.py") for line in lines
    )
    assert any("its job was given" in line for line in lines) != also_given


def test_runs_of_another_environment(tree):
    path = f"{RESULTS}/runs/{STUDY}/student.record.json"
    edit_json(path, lambda record: record["environment"].update(digest="f" * 64))
    lines = found()
    said = f"{TABLE}.json: rests on jobs of different environments"
    assert any(line.startswith(said) and path in line for line in lines)


def test_code_that_the_checkout_does_not_have_is_unknown(tree):
    tables, figures = (Path(RESULTS, name) for name in ("tables", "figures"))
    for path in (*tables.glob("*.record.json"), *figures.glob("*.record.json")):
        edit_json(
            path, lambda r: (r["code"].update(digest="0" * 64), r["params"].update(code="0" * 64))
        )
    done = audit(RESULTS)
    assert done.lines() == []
    assert any("tabulate.py: 28 files were made by its code" in x for x in done.lines(strict=True))


@pytest.mark.parametrize(("page", "said"), [("comparison.md", ""), ("ledger.md", "says ")])
def test_a_number_of_a_page(tree, page, said):
    path = f"{RESULTS}/{page}"
    text = cell("0/kd")["text"]
    edit(path, text, another_digit(text))
    seal(path)
    (line,) = found()
    assert line.startswith(f"{path}: table13/0/kd: {said}")


def test_a_count_of_the_comparison_page(tree):
    path = f"{RESULTS}/comparison.md"
    edit(path, "| Table 12 | ", "| Table 12 | 7")
    seal(path)
    (line,) = found()
    assert line.startswith(f"{path}: the counts of Table 12 are ['7")


def ledger_cell(identity: str, change) -> None:
    """Edit one cell of the ledger."""

    def edit(ledger):
        (cell,) = (cell for cell in ledger["cells"] if cell["id"] == identity)
        change(cell)

    edit_json(f"{RESULTS}/ledger.json", edit)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("identity", "change", "what"),
    [
        ("table13/0/kd", lambda c: c.update(value=0.8494), "printed value is 0.8494, transcribed"),
        ("table06/0/mi-gap", lambda c: c.update(text="9.9"), "printed text is '9.9', transcribed"),
        ("table13/0/kd", lambda c: c["ours"].update(value=0.5), "our value is 0.5, its table has"),
        ("table13/0/kd", lambda c: c["ours"].update(n=9), "our n is 9, its table has 3"),
        ("table13/0/kd", lambda c: c.update(ours=None), "nothing of ours, where its table has it"),
        ("table13/0/kd", lambda c: c.update(verdict="reproduced"), "its verdict is 'reproduced'"),
        ("table06/notes/teacher-label", lambda c: c.update(flags=[]), "its flags are [], not"),
    ],
)
def test_an_edited_ledger(tree, identity, change, what, sealed):
    path = f"{RESULTS}/ledger.json"
    ledger_cell(identity, change)
    if sealed:
        seal(path)
    lines = found()
    assert any(line.startswith(f"{path}: {identity}: {what}") for line in lines), lines
    assert any("its bytes are not those of its record" in line for line in lines) != sealed


def test_a_ledger_that_lacks_a_cell_or_miscounts(tree):
    path = f"{RESULTS}/ledger.json"
    edit_json(path, lambda d: (d["cells"].pop(0), d["counts"].update(reproduced=99)))
    seal(path)
    lines = found()
    assert f"{path}: table01/0/mi-gap is missing" in lines
    assert f"{path}: the counts of all are not those of its cells" in lines


def test_flags_of_the_paper_that_are_edited_left_out_or_made_up(tree):
    path = f"{RESULTS}/ledger.json"
    checks = ("data-processing", "hellman-raviv", "fano-gap", "order")

    def arithmetic(ledger):
        for flag in ledger["flags"]:
            if flag["check"] in checks:
                flag["arithmetic"] = flag["arithmetic"].replace("= ", "= 1")

    edit_json(path, arithmetic)
    seal(path)
    lines = found()
    for check in checks:
        assert any(x.startswith(f"{path}: {check}-1: its arithmetic does not") for x in lines)

    def about_another(ledger):
        for flag in ledger["flags"]:
            if flag["check"] in checks:
                flag["beside"] = ["table16/kipan-kich/cases"]

    edit_json(path, about_another)
    seal(path)
    lines = found()
    for check in checks:
        assert f"{path}: {check}-1: the printed numbers do not give this flag" in lines
        assert any(x.startswith(f"{path}: {check}: lacks the flag about table") for x in lines)


def test_a_ledger_that_is_gone_or_cut_short(tree):
    path = Path(f"{RESULTS}/ledger.json")
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:500], encoding="utf-8")
    seal(str(path))
    assert any(line.startswith(f"{path}: cannot be read") for line in found())
    path.unlink()
    assert f"{path}: is missing" in found()


def test_the_configuration_that_a_table_holds(tree):
    def other(document):
        document["settings"][STUDY]["study"]["training"]["epochs"] = 6

    edit_json(f"{TABLE}.json", other)
    seal(f"{TABLE}.json")
    said = f"table13: its training.epochs of study {STUDY} is not what the records of the jobs say"
    assert said in found()
    title = f"{RESULTS}/tables/table12.json"
    edit_json(title, lambda d: d["settings"][STUDY]["dataset"].update(title="MNIST"))
    seal(title)
    assert any("table12/dataset/value: value is " in line for line in found())


@pytest.mark.parametrize("gone", ["datasets/mnistm-a18.record.json", "runs/mnistm-a18/teacher.h5"])
def test_what_is_gone(tree, gone):
    Path(RESULTS, gone).unlink()
    said = " ".join(found())
    if gone.endswith("h5"):
        assert f"{gone}: is missing" in said
        assert "cells not derived again: 1; " in said
    else:
        # Named once, first, with the command that makes it again; not once for each cell.
        first, *_, last = found()
        data = f"{RESULTS}/{gone}".replace(".record.json", ".h5")
        assert first.startswith(f"{RESULTS}/{gone}: is missing; it is the record of {data}, and ")
        assert last.startswith("make again what is missing: snakemake") and gone in last
        assert said.count("is the record of") == 1 and "the chain ends here" not in said


def test_a_missing_record_of_a_table_is_said_once(tree):
    Path(f"{RESULTS}/tables/table13.record.json").unlink()
    lines = found()
    assert [line for line in lines if "table13/" in line and "the record" in line] == []
    assert lines[0].startswith(f"{RESULTS}/tables/table13.record.json: is missing")


def test_a_chain_that_ends_nowhere(tree):
    path = f"{RESULTS}/datasets/{STUDY}.record.json"
    edit_json(path, lambda record: record.update(inputs={}))
    data = f"{RESULTS}/datasets/{STUDY}.h5"
    assert f"{data}: the chain ends here, neither at a raw file nor at a generator" in found()


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d["cells"]["0/kd"].pop("query"),
        lambda d: d["cells"]["0/kd"].update(members=[{}]),
        lambda d: d.pop("columns"),
        lambda d: d.update(cells=[]),
        lambda d: d.update(rows=[{}]),
        lambda d: d["notes"][0].pop("cell"),
    ],
)
def test_a_damaged_document_is_named_without_a_traceback(tree, damage):
    edit_json(f"{TABLE}.json", damage)
    seal(f"{TABLE}.json")
    assert any("table13" in line for line in found())


def test_truncated_files_are_named(tree):
    for path in (f"{TABLE}.json", f"{RESULTS}/tables/table12.record.json"):
        Path(path).write_text(Path(path).read_text(encoding="utf-8")[:300], encoding="utf-8")
    Path(f"{RESULTS}/runs/{STUDY}/teacher.h5").write_bytes(b"none")
    said = " ".join(found())
    for name in (f"{TABLE}.json", "table12.record.json", "teacher.h5"):
        assert name in said


def test_files_without_a_record_and_unknown_queries_fail_only_strictly(tree):
    Path(RESULTS, "stray.txt").write_text("x", encoding="utf-8")
    Path(RESULTS, "logs").mkdir()
    Path(RESULTS, "logs", "a.log").write_text("x", encoding="utf-8")
    edit_json(f"{TABLE}.json", lambda d: d["notes"][0]["cell"]["query"].update(kind="funnel"))
    seal(f"{TABLE}.json")
    done = audit(RESULTS)
    unknown = done.lines(strict=True)[len(done.lines()) :]
    assert f"{RESULTS}/stray.txt: no record says what made it" in unknown
    assert any("nothing here knows queries of kind 'funnel'" in line for line in unknown)
    assert len(unknown) == 2


def test_a_new_kind_of_query_registers_its_derivation(tree):
    edit_json(f"{TABLE}.json", lambda d: d["cells"]["0/kd"]["query"].update(kind="new"))

    @derives("new")
    def new(query, place, facts):
        return Derived(place.cell["value"], place.cell["se"], place.cell["n"])

    try:
        assert not any("nothing here knows" in line for line in audit(RESULTS).lines(strict=True))
    finally:
        del RULES["new"]


def test_the_command_lists_and_fails_or_says_a_paragraph(tree):
    run = CliRunner().invoke
    good = run(app, ["audit", "--results", RESULTS, "--strict", "--json", "out.json"])
    assert (good.exit_code, good.stdout.count("\n")) == (0, 1)
    assert json.loads(Path("out.json").read_text())["passed"] is True
    Path(f"{TABLE}.csv").unlink()
    bad = run(app, ["audit", "--results", RESULTS, "--json", "out.json"])
    first, command = bad.stdout.splitlines()
    assert (bad.exit_code, first) == (1, f"{TABLE}.csv: is missing")
    outcome = json.loads(Path("out.json").read_text())
    assert outcome["problems"] == [{"kind": "file", "where": f"{TABLE}.csv", "what": "is missing"}]
    assert command == f"make again what is missing: {outcome['restore']}"


def test_folders_that_are_no_results_are_one_line(tree):
    with pytest.raises(CchError, match="/nope: is no folder"):
        audit("/nope")
    Path("empty").mkdir()
    with pytest.raises(CchError, match="empty: holds no records"):
        audit("empty")
    shutil.copytree(RESULTS, "copied")
    with pytest.raises(CchError, match=r"copied: was made as results/small; put the results back"):
        audit("copied")


def test_a_folder_that_holds_only_runs_of_others_names_them(tree, tmp_path):
    result = CliRunner().invoke(app, ["audit"])
    assert result.exit_code == 1
    small = f"there is one in {RESULTS}: cch audit --results {RESULTS}"
    assert str(result.exception) == f"results: holds no run of its own; {small}"
    for folder, near in ((tmp_path, tree / RESULTS), (Path(RESULTS, "tables"), RESULTS)):
        with pytest.raises(CchError, match="holds no run of its own; there is one in") as error:
            audit(folder)
        assert str(error.value).endswith(f"cch audit --results {near}")


def test_a_full_run_is_audited_with_those_beside_it(tree):
    """Records of a run of the folder's own are enough; what lies below is looked at as before."""
    alone = audit(RESULTS).counts["records"]
    shutil.copytree(f"{RESULTS}/runs", "results/runs")
    for path in Path("results/runs").rglob("*.record.json"):
        path.write_text(path.read_text(encoding="utf-8").replace(RESULTS, "results"))
    assert audit("results").counts["records"] > alone


def test_a_folder_above_a_run_with_records_of_its_own_is_one_line(tree, tmp_path):
    (tmp_path / "tables").mkdir()
    shutil.copy(f"{TABLE}.record.json", tmp_path / "tables" / "stray.record.json")
    with pytest.raises(CchError, match=r"most of its records are of a run in .*run; name the fol"):
        audit(tmp_path)


def test_what_is_missing_is_made_again_by_one_command(tree):
    Path("small.yaml").write_text(json.dumps(CHANGE), encoding="utf-8")
    for name in ("runs/mnistm-a18/teacher.h5", "tables/table13.csv"):
        Path(RESULTS, name).unlink()
    command = audit(RESULTS).restore
    assert f"{RESULTS}/runs/mnistm-a18/teacher.h5 {RESULTS}/tables/table13.csv" in command
    assert command.endswith(" --configfile small.yaml")


# The second implementations against the first, where both must agree


def test_rounding_is_the_renderers():
    rng = np.random.Generator(np.random.PCG64(1))
    values = [*(rng.normal(size=200) * 10.0 ** rng.integers(-6, 6, 200)).tolist()]
    values += [0.00005, 0.00015, 0.125, -0.00001, 0.0, 1e-300, 123456.00005, 2.5, 0.5]
    for value in values:
        for digits in (0, 2, 4):
            assert printed(value, abs(value), digits) == format_value(value, abs(value), digits)
            assert printed(value, None, digits, bits=True) == format_value(
                to_bits(value), None, digits
            )
    assert printed(None, None) == format_value(None)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_metrics_are_those_of_training(classes):
    rng = np.random.Generator(np.random.PCG64(classes))
    label = rng.integers(0, classes, 200)
    logits = rng.normal(size=(200, classes)).astype(np.float32)
    logits += 2 * np.eye(classes, dtype=np.float32)[label]
    for truth in (label, np.where(label == 0, 1, label)):  # the second lacks a class
        again = metrics_again(logits, truth, "classification")
        first = evaluate(logits, truth, "classification")
        assert (again["auc"] is None) == (first["auc"] is None) == (truth is not label)
        assert again.keys() == first.keys()
        for name, value in first.items():
            # Sums in another order; 1e-12 is what the audit allows.
            assert value is None or again[name] == pytest.approx(value, rel=1e-12)


def test_metrics_of_regression_and_of_outputs_that_are_not_finite():
    logits, label = np.array([[1.5], [2.0]], np.float32), np.array([1.0, 0.0], np.float32)
    assert metrics_again(logits, label, "regression") == {"mse": pytest.approx((0.25 + 4) / 2)}
    assert metrics_again(logits * np.inf, label, "regression") == {"mse": None}


def test_readings_and_noise_are_those_of_the_response():
    rng = np.random.Generator(np.random.PCG64(3))
    for _ in range(50):
        # Noise as large as the steps, so that means fall and are pooled.
        results = [
            CaseResult(
                Case("gaussian", "teacher-student", truth, 100, 2, 2, ceiling=1.9),
                (truth + rng.normal(0, 0.6, 4)).tolist(),
            )
            for truth in (0.0, 0.5, 1.0, 1.5, 2.0)
        ]
        values = rng.normal(0.8, 0.8, 3)
        response, curve = Response.of(results), _curve([r.to_json() for r in results])
        found = judge(values.tolist(), [0.0] * 3, response, None).teacher_student
        read = _reading(values.tolist(), curve)
        if read is None:
            assert found.debiased.low is None
        else:
            assert read == pytest.approx((found.debiased.low, found.debiased.high), rel=1e-12)
        assert curve.noise(values.mean()) == pytest.approx(found.noise, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.4399 ± 0.0100", ["0.4399", "0.0100"]),
        ("-0.0032", ["-0.0032"]),
        ("10,000 / 2,000", ["10,000", "2,000"]),
        ("table13, T-1", ["13", "1"]),
        ("1e-05 and −2", ["1e-05", "-2"]),
        (plain_tex(r"$-$0.4868 $\pm$ 0.0190\textsuperscript{1, 2}"), ["-0.4868", "0.0190"]),
        (plain_tex(r"$\sigma_{12}$ from 1--2"), ["12", "1", "2"]),
    ],
)
def test_numbers_are_found_as_written(text, wanted):
    assert numbers(text) == wanted


ODD = ["a|b *c* 1_2", "50 % & more", "-5", "σ12 = 0.3", "=1+1", "– or —", "line\r\nbreak 7", "#3"]


def test_renderings_of_odd_texts_pass(tmp_path):
    cells = {
        f"r{i}/c": stored_cell(
            f"t/r{i}/c", value=text, text=text, verdict="differs", flags=[f"a flag of {text}"],
            paper={"text": text, "value": None, "se": None},
        )
        for i, text in enumerate(ODD)
    }  # fmt: skip
    table = parse_document(
        stored_table(
            "t", cells, number="Table 9", title="Odd $x$ & 5 %", caption="12 _things_",
            row_label="γ", deviations=[{"text": "a: 1,000 (paper: 2)"}],
            columns=[{"key": "c", "label": "C*", "unit": None, "style": None}],
            rows=[{"key": f"r{i}", "label": text} for i, text in enumerate(ODD)],
        ),
        "t",
    )  # fmt: skip
    document = table.to_json()
    report = Audit(tmp_path)
    markdown, latex = render.to_markdown(table), render.to_latex(table)
    check_csv("t.csv", render.to_csv(table), document, report)
    check_markdown("t.md", markdown, document, report)
    check_latex("t.tex", latex, document, report)
    check_numbers("t.md", markdown.replace("\\", ""), document, report)
    check_numbers("t.tex", plain_tex(latex), document, report)
    assert report.lines() == []
    assert report.counts["printed"] == 3 * len(ODD)
    assert len(list(csv.DictReader(render.to_csv(table).splitlines()))) >= len(ODD)


def test_the_null_of_lihc_is_derived_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.Generator(np.random.PCG64(5)).normal(0, 0.02, (2, 20))
    path = "results/calibration/null-lihc/ksg.json"
    content = {"teacher-student": values[0].tolist(), "student-label": values[1].tolist()}
    write_json(path, {"values": content | {"gap": (values[0] - values[1]).tolist()}})
    script = ROOT / "workflow" / "scripts" / "tabulate_null.py"
    recorder = Recorder("estimate_null", script, [], {})
    recorder.facts["generator"] = {"kind": "null-gaps", "seed": 0}
    recorder.write("results/calibration/null-lihc/ksg.record.json", [path])
    spec = NullTableSpec.model_validate_json(Plan(raw_config()).null_table_spec("lihc"))
    document = null_document({"ksg": path}, spec)
    table = "results/tables/null-lihc"
    write_document(f"{table}.json", document)
    write_text(f"{table}.md", render.to_markdown(document))
    outputs = [f"{table}.json", f"{table}.md"]
    Recorder("tabulate_null", script, [path], {}).write(f"{table}.record.json", outputs)
    done = audit("results")
    assert done.lines(strict=True) == []
    assert done.counts["derived"] == len(document.cells)
    edit_json(f"{table}.json", lambda d: d["cells"]["gap/ksg"].update(value=1.0))
    assert any(line.startswith("null-lihc/gap/ksg: value is 1.0") for line in found_in("results"))


def test_an_audit_of_no_tables_says_so():
    said = Audit(Path("results/mine")).summary()
    assert said.startswith("results/mine: holds no tables yet, so there is no number to check.")
