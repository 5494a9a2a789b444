"""The validator on 100,000 varied records: records per second, memory, and the guide's own check.

Every record is put together from the golden reports, each answer with the section that reads it,
and gets words of its own: syllables set together at random, so that no memory of words seen before
carries the figures. One in fifty quotes freely, one in a hundred breaks a rule.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from haruon_tui.dataset import golden, persona, records
from haruon_tui.dataset.report import parse

RECORDS = int(os.environ.get("BENCH_RECORDS", "100000"))
_SHORTEST = 1300
_HARUON = str(Path(sys.executable).with_name("haruon"))
_SYLLABLES = (
    "가나다라마바사아자차카타파하고노도로모보소오조초구누두루무부수우주추기니디리미비시이지치"
)
_FAULTS = ("당신은 우울증입니다.", "이 점은 확실합니다.", "연락은 010-2345-6789로 주세요.")
_FORBIDDEN = ("진단", "입니다", "확실합니다", "분명합니다", "문제가 있습니다", "비정상입니다")
_REQUIRED = ("개방성", "성실성", "외향성", "우호성", "신경성", "종합 의견")


def measure() -> dict[str, Any]:
    """Records per second over whole runs of `haruon data validate`, starting up included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, tokenizer = folder / "varied.jsonl", folder / "tokenizer.json"
        figures = _write(file)
        _train_tokenizer(tokenizer)
        some, all_of_them = ["--leave-out", "tokens", "persona"], ["--tokenizer", str(tokenizer)]
        without, whole = _seconds(file, *some), _seconds(file, *all_of_them)
        memory = {"without": _peak(file, *some), "with_all": _peak(file, *all_of_them)}
        return {
            **figures,
            "cores": len(os.sched_getaffinity(0)),
            "load_before": os.getloadavg()[0],
            "guide_function_records_per_second": round(_guide(file)),
            "without_tokens_and_persona_records_per_second": round(RECORDS / without),
            "with_all_records_per_second": round(RECORDS / whole),
            "peak_megabytes": memory,
        }


def _write(path: Path) -> dict[str, Any]:
    words: set[int] = set()
    shortest, total = 10**9, 0
    with path.open("w", encoding="utf-8") as out:
        for record in _varied(RECORDS):
            texts = [message["content"] for message in record["messages"]]
            length = sum(map(len, texts))
            shortest, total = min(shortest, length), total + length
            words.update(hash(word) for text in texts for word in text.split())
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    return {
        "records": RECORDS,
        "file_megabytes": round(path.stat().st_size / 1e6),
        "shortest_characters": shortest,
        "mean_characters": round(total / RECORDS),
        "distinct_words": len(words),
    }


def _varied(count: int) -> Iterator[records.Record]:
    chooser = random.Random(1)
    sources = [
        (records.answers(line.record) or {}, parse(records.content(line.record, "assistant")))
        for line in records.read(golden.reports_file())
        if isinstance(line, records.Line)
    ]
    summaries = [report.summary.replace("'", "") for _, report in sources]
    for number in range(count):
        answers, sections, levels = {}, [persona.TITLE, persona.OPENING], {}
        for trait in persona.TRAITS:
            said, report = chooser.choice(sources)
            part = next(part for part in report.traits if part.key == trait.key)
            own = f"{_word(chooser)} {_word(chooser)}"
            answers[trait.key] = f"{said[trait.key]} {own}도요."
            body = f"{part.body} '{own}'도 보입니다."
            if chooser.random() < 0.01:  # quotes freely: the answer's words with other endings
                words = [word for word in said[trait.key].split() if len(word) > 2][:2]
                body += f" '{' '.join(word[:2] + '기' for word in words)}'도요."
            if chooser.random() < 0.002:
                body += " " + chooser.choice(_FAULTS)
            levels[trait.key] = part.level or "중간"
            sections.append(f"{trait.heading}: {levels[trait.key]}\n{body}")
        sections.append(f"{persona.SUMMARY}\n\n{chooser.choice(summaries)}")
        report = "\n\n".join(sections)
        while len(report) + sum(map(len, answers.values())) + 200 < _SHORTEST:
            report += f" {_word(chooser)} {_word(chooser)}도 곁에 두시는 듯합니다."
        yield records.make(
            answers, report, id=f"varied-{number:06d}", source="bench", levels=levels
        )


def _word(chooser: random.Random) -> str:
    return "".join(chooser.choice(_SYLLABLES) for _ in range(4))


def _train_tokenizer(path: Path) -> None:
    """A byte-level BPE of 8,000 pieces with Qwen2's split, trained on the golden reports."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        golden.reports_file().read_text(encoding="utf-8").splitlines(),
        trainers.BpeTrainer(vocab_size=8000, show_progress=False),
    )
    tokenizer.save(str(path))


def _seconds(file: Path, *options: str) -> float:
    started = time.perf_counter()
    _start(file, *options).wait()
    return time.perf_counter() - started


def _peak(file: Path, *options: str) -> int:
    """The peak of the memory of all processes of a run in MB (shared once). Looking costs the run
    a tenth of its speed, so that it is not the one that is timed."""
    run = _start(file, *options)
    peak = 0.0
    while run.poll() is None:
        peak = max(peak, _proportional_megabytes(run.pid))
        time.sleep(0.25)
    return round(peak)


def _start(file: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [_HARUON, "data", "validate", str(file), "--rules", "calibrated", "--json"]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _proportional_megabytes(pid: int) -> float:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:
        pass
    return total / 1e6


def _guide(file: Path) -> float:
    """Records per second of the guide's validate_dataset (2.3) with reading the JSON, one core."""
    started = time.perf_counter()
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            _guide_issues(json.loads(line))
    return RECORDS / (time.perf_counter() - started)


def _guide_issues(example: dict[str, Any]) -> list[str]:
    issues = []
    if "messages" not in example:
        issues.append("Missing 'messages' field")
    roles = [message["role"] for message in example.get("messages", [])]
    if set(roles) != {"system", "user", "assistant"}:
        issues.append("Invalid role structure")
    content = ""
    for message in example.get("messages", []):
        if message["role"] == "assistant":
            content = message["content"]
            break
    issues += [f"Contains forbidden pattern: {word}" for word in _FORBIDDEN if word in content]
    issues += [f"Missing required section: {word}" for word in _REQUIRED if word not in content]
    return issues
