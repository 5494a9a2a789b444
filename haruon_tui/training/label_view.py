"""What is learned and what is masked, of one record, and how long all records are: asked before a
training, in a process of its own, as it needs the tokenizer and torch.

`python -m haruon_tui.training.label_view MODEL TRAIN_FILE SETTINGS.json` prints one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import HaruonError, StageError

if TYPE_CHECKING:
    from haruon_tui.settings import TrainSettings

_SECONDS = 120.0


@dataclass(frozen=True)
class LabelView:
    """`pieces` is the text that the model is given, in order: each piece and whether its tokens
    have a label. `ends` is the last learned token. `lengths` are tokens of the shortest, the
    median and the longest record, `too_long` the records over `max_length`."""

    pieces: list[tuple[str, bool]]
    tokens: int
    learned: int
    ends: str
    records: int
    too_long: int
    lengths: tuple[int, int, int]
    max_length: int


def ask(model: Path, train_file: Path, wanted: TrainSettings) -> LabelView:
    """Look in a child process. Raises StageError with what it could not do."""
    command = [sys.executable, "-P", "-m", "haruon_tui.training.label_view"]
    try:
        done = subprocess.run(
            [*command, str(model), str(train_file), wanted.model_dump_json()],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(f"did not end within {_SECONDS:.0f} s", where=str(train_file)) from error
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StageError(f"cannot be looked at: {last}", where=str(train_file)) from error
    if "error" in found:
        raise StageError(found["error"])
    found["pieces"] = [(text, learned) for text, learned in found["pieces"]]
    found["lengths"] = tuple(found["lengths"])
    return LabelView(**found)


def look(model: Path, train_file: Path, wanted: TrainSettings, folder: Path) -> LabelView:
    """The labels of the first record as the trainer's collator lays them out.

    Raises StageError, ConfigurationError; `folder` takes the log of reading."""
    from transformers import AutoTokenizer

    from haruon_tui.jobs.context import JobContext
    from haruon_tui.training import examples
    from haruon_tui.training.batches import collate

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="right")
    job = JobContext.local(folder)
    every = examples.load(train_file, tokenizer, wanted.loss_on, 1 << 30, job).encoded
    if not every:
        raise StageError("there is no record to look at", where=str(train_file))
    lengths = sorted(len(one["input_ids"]) for one in every)
    batch = collate(every[:1], padding=0)
    labels, ids = batch["labels"][0].tolist(), batch["input_ids"][0].tolist()
    learned = [token for token, label in zip(ids, labels, strict=True) if label == token]
    return LabelView(
        pieces=pieces(ids, labels, tokenizer),
        tokens=len(ids),
        learned=len(learned),
        ends=tokenizer.decode(learned[-1:]),
        records=len(every),
        too_long=sum(length > wanted.max_length for length in lengths),
        lengths=(lengths[0], lengths[len(lengths) // 2], lengths[-1]),
        max_length=wanted.max_length,
    )


def pieces(ids: list[int], labels: list[int], tokenizer: Any) -> list[tuple[str, bool]]:
    """Runs of tokens with and without a label, as text. A run is decoded whole, since one letter
    of Korean may be several tokens."""
    found: list[tuple[list[int], bool]] = []
    for token, label in zip(ids, labels, strict=True):
        learned = label == token
        if not found or found[-1][1] != learned:
            found.append(([], learned))
        found[-1][0].append(token)
    return [(tokenizer.decode(run), learned) for run, learned in found]


def main() -> None:
    import tempfile

    from haruon_tui.settings import TrainSettings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    model, train_file, wanted = sys.argv[1:4]
    settings = TrainSettings.model_validate_json(wanted)
    with tempfile.TemporaryDirectory() as folder:
        try:
            document = asdict(look(Path(model), Path(train_file), settings, Path(folder)))
        except (HaruonError, OSError, ValueError) as error:
            document = {"error": str(error)}
    print(json.dumps(document))


if __name__ == "__main__":
    main()
