"""Import: each form is told from its content and comes back as it went in."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import golden, persona, records
from haruon_tui.dataset.importing import importer
from haruon_tui.dataset.records import Record
from haruon_tui.errors import CheckFailed, ConfigurationError, HaruonError

GOLDEN = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")][
    :12
]


def texts(record: Record) -> tuple[str, str, str]:
    system, user, assistant = (message["content"] for message in record["messages"])
    return system, user, assistant


def chatml(record: Record) -> dict[str, Any]:
    return record


def sharegpt(record: Record) -> dict[str, Any]:
    turns = zip(("system", "human", "gpt"), texts(record), strict=True)
    return {
        "id": record["metadata"]["id"],
        "conversations": [{"from": role, "value": text} for role, text in turns],
    }


def alpaca(record: Record) -> dict[str, Any]:
    system, user, report = texts(record)
    id = record["metadata"]["id"]
    return {"id": id, "instruction": system, "input": user, "output": report}


def prompt_completion(record: Record) -> dict[str, Any]:
    _, user, report = texts(record)
    return {"id": record["metadata"]["id"], "prompt": user, "completion": report}


def columns(record: Record) -> dict[str, Any]:
    answers = records.answers(record)
    assert answers
    korean = {trait.korean: answers[trait.key] for trait in persona.TRAITS}
    return {"id": record["metadata"]["id"], **korean, "리포트": texts(record)[2]}


EXPORTS: dict[str, Callable[[Record], dict[str, Any]]] = {
    "chatml": chatml,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "prompt-completion": prompt_completion,
    "columns": columns,
}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path / "a.jsonl"
    records.write(path, rows)
    return path


def json_array(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path / "a.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def table(
    path: Path, rows: list[dict[str, Any]], separator: str = ",", encoding: str = "utf-8"
) -> Path:
    path = path / "a.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerow(rows[0])
        for row in rows:
            cells = (
                cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
                for cell in row.values()
            )
            writer.writerow(cells)
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path / "a.parquet", row_group_size=5)
    return path / "a.parquet"


def saved_dataset(path: Path, rows: list[dict[str, Any]]) -> Path:
    """What datasets' save_to_disk writes, laid out by hand: `datasets` takes seconds to import."""
    import pyarrow as pa

    folder = path / "saved"
    for split, part in (("train", rows[:8]), ("test", rows[8:])):
        (folder / split).mkdir(parents=True)
        made = pa.Table.from_pylist(part)
        with pa.ipc.new_stream(folder / split / "data-00000-of-00001.arrow", made.schema) as file:
            file.write_table(made)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
        (folder / split / "state.json").write_text(json.dumps(state))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    return folder


def hub_folder(path: Path, rows: list[dict[str, Any]]) -> Path:
    (path / "hub" / "data").mkdir(parents=True)
    parquet(path, rows).rename(path / "hub" / "data" / "train-00000-of-00001.parquet")
    return path / "hub"


CONTAINERS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "JSONL": jsonl,
    "JSON": json_array,
    "CSV": table,
    "Parquet": parquet,
    "saved": saved_dataset,
    "hub": hub_folder,
}


def imported(source: Path, **given: Any) -> tuple[importer.Plan, list[Record], list[Any]]:
    plan = importer.plan(source, **given)
    out = source.with_name(f"{source.name}.out.jsonl")
    result = importer.run(plan, out)
    assert result.written + result.rejected == result.rows
    kept = [line.record for line in records.read(out) if isinstance(line, records.Line)]
    rejects = [line.record for line in records.read(Path(result.rejects)) if line]  # type: ignore[union-attr]
    assert len(kept) == result.written
    return plan, kept, rejects


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("shape", EXPORTS)
def test_every_form_comes_back_as_it_went_in(tmp_path: Path, shape: str, container: str) -> None:
    rows = [EXPORTS[shape](record) for record in GOLDEN]
    plan, kept, rejects = imported(CONTAINERS[container](tmp_path, rows))
    assert plan.shape == shape
    assert rejects == []
    assert [record["messages"] for record in kept] == [record["messages"] for record in GOLDEN]
    assert [record["metadata"]["id"] for record in kept] == [
        record["metadata"]["id"] for record in GOLDEN
    ]
    assert [record["metadata"]["levels"] for record in kept] == [
        record["metadata"]["levels"] for record in GOLDEN
    ]
    # and back again: the form exported from what was imported is the one that went in
    assert [EXPORTS[shape](record) for record in kept] == rows
    assert list(plan.examples) == kept[:3]


@pytest.mark.parametrize(
    ("separator", "encoding", "said"),
    [
        (",", "utf-8-sig", "UTF-8 with a byte-order mark"),
        (";", "cp949", "CP949"),
        ("\t", "utf-16", "UTF-16"),
        ("|", "utf-16-be", "UTF-16 (big endian)"),
        ("\t", "utf-8", "UTF-8"),
    ],
)
def test_separator_and_encoding_are_found_and_said(
    tmp_path: Path, separator: str, encoding: str, said: str
) -> None:
    source = table(tmp_path, [columns(record) for record in GOLDEN], separator, encoding)
    plan, kept, _ = imported(source)
    assert any(said in evidence for evidence in plan.evidence)
    assert plan.container.kind == ("TSV" if separator == "\t" else "CSV")
    assert [record["messages"] for record in kept] == [record["messages"] for record in GOLDEN]
    assert any("system prompt" in note for note in plan.notes)
    assert any("guide's form" in note for note in plan.notes)


def test_the_users_columns_are_taken_by_name(tmp_path: Path) -> None:
    rows = [{"물음": texts(r)[1], "글": texts(r)[2], "점수": "3"} for r in GOLDEN]
    source = table(tmp_path, rows)
    with pytest.raises(ConfigurationError, match="물음, 글, 점수"):
        importer.plan(source)
    plan, kept, _ = imported(source, columns={"user": "물음", "assistant": "글"})
    assert plan.unused == ("점수",)
    assert [texts(record)[1:] for record in kept] == [texts(record)[1:] for record in GOLDEN]
    with pytest.raises(ConfigurationError, match="no column"):
        importer.plan(source, columns={"user": "없음", "assistant": "글"})


def test_rows_that_make_no_record_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path,
        [
            sharegpt(GOLDEN[0]),
            {"conversations": [{"from": "tool", "value": "x"}]},
            {"conversations": [{"from": "human", "value": "x"}]},
            {"conversations": [{"from": "gpt", "value": None}]},
            {"other": 1},
            sharegpt(GOLDEN[1]),
        ],
    )
    with source.open("ab") as stream:
        stream.write(b"{broken\n")
    _, kept, rejects = imported(source)
    assert len(kept) == 2
    assert [reject["line"] for reject in rejects] == [2, 3, 4, 5, 7]
    assert "known are" in rejects[0]["reason"]
    assert "answer" in rejects[1]["reason"]
    assert "not a text" in rejects[2]["reason"]
    assert source.read_bytes()[rejects[4]["byte"] - 1 :].startswith(b"{broken")


def test_a_broken_row_of_a_table_spoils_no_other(tmp_path: Path) -> None:
    rows = [prompt_completion(record) for record in GOLDEN]
    source = table(tmp_path, rows)
    whole = source.read_bytes()
    ends = [whole.index(b"\r\n") + 2]
    first_report = whole.index(b"golden-002")
    unclosed = b'x,"never closed,y\r\n'
    short = b"only,two\r\n"
    source.write_bytes(
        whole[: ends[0]] + unclosed + whole[ends[0] : first_report] + short + whole[first_report:]
    )
    _, kept, rejects = imported(source)
    assert [texts(record)[2] for record in kept] == [texts(record)[2] for record in GOLDEN]
    assert rejects[0]["line"] == 2
    assert rejects[0]["byte"] == ends[0]
    assert any("2 cells" in reject["reason"] for reject in rejects)


def test_a_broken_element_of_an_array_spoils_no_other(tmp_path: Path) -> None:
    good = [json.dumps(alpaca(record), ensure_ascii=False) for record in GOLDEN[:3]]
    broken = '{"instruction": NaN, "output": "x"}'
    source = tmp_path / "a.json"
    source.write_text(f"[\n{good[0]},\n{broken},\n{good[1]}, 7]", encoding="utf-8")
    _, kept, rejects = imported(source)
    assert len(kept) == 2
    assert rejects[0]["line"] == 3
    assert source.read_bytes()[rejects[0]["byte"] :].startswith(b"NaN")
    assert "not read on" in rejects[1]["reason"] or "is no object" in rejects[1]["reason"]


def test_a_cut_off_parquet_is_an_error_and_a_spoiled_row_group_is_not(tmp_path: Path) -> None:
    source = parquet(tmp_path, [chatml(record) for record in GOLDEN])
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match="cannot be read as one"):
        importer.plan(source)
    spoiled = bytearray(whole)
    spoiled[4:400] = bytes(396)
    source.write_bytes(spoiled)
    _, kept, rejects = imported(source)
    assert 0 < len(kept) < len(GOLDEN)
    assert sum(reject["rows"] for reject in rejects) == len(GOLDEN) - len(kept)


def test_a_split_of_a_folder_can_be_taken_alone(tmp_path: Path) -> None:
    source = saved_dataset(tmp_path, [chatml(record) for record in GOLDEN])
    _, kept, _ = imported(source, split="test")
    assert kept == GOLDEN[8:]
    with pytest.raises(ConfigurationError, match="no split"):
        importer.plan(source, split="dev")


@pytest.mark.parametrize(
    "content", [b"", b"hello\nworld\n", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PAR1", b"[]", b"{}"]
)
def test_what_is_no_dataset_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(HaruonError) as error:
        importer.plan(tmp_path / "a")
    assert error.value.where == str(tmp_path / "a")


def test_nothing_valid_under_a_forced_form_is_a_failed_check(tmp_path: Path) -> None:
    source = jsonl(tmp_path, [alpaca(record) for record in GOLDEN])
    with pytest.raises(CheckFailed, match="makes a record"):
        importer.plan(source, "sharegpt")


def haruon(*arguments: str, folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "haruon_tui", "data", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_shows_what_it_found_and_writes_nothing_on_a_dry_run(tmp_path: Path) -> None:
    table(tmp_path, [columns(record) for record in GOLDEN], ";", "cp949")
    shown = haruon("import", "a.csv", "--dry-run", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for word in ("CP949", "semicolon", "개방성", "golden-003", "as they will be written"):
        assert word in shown.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    done = haruon("import", "a.csv", "--out", "b.jsonl", "--json", folder=tmp_path)
    assert json.loads(done.stdout)["written"] == len(GOLDEN)
    again = haruon("import", "a.csv", "--out", "b.jsonl", folder=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    onto = haruon("import", "a.csv", "--out", "a.csv", folder=tmp_path)
    assert "is the source itself" in onto.stderr


def test_planning_an_import_of_text_loads_no_pyarrow(tmp_path: Path) -> None:
    source = jsonl(tmp_path, [chatml(record) for record in GOLDEN])
    code = (
        "import sys; from pathlib import Path\n"
        "from haruon_tui.dataset.importing import importer\n"
        f"importer.plan(Path({str(source)!r}))\n"
        "print('pyarrow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
