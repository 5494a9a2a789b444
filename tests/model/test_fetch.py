"""A fetch from the Hub: whole or marked unfinished, whatever the server and the disk do."""

from __future__ import annotations

import hashlib
import json
import resource
import threading
import time
from pathlib import Path

import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.jobs.context import JobContext
from haruon_tui.model import fetch as fetching
from haruon_tui.model import transfer
from haruon_tui.model.fetch import fetch, repository_folder

NAME = "owner/small-model"
COMMIT = "1" * 40
WEIGHTS = "model.safetensors"
TAKEN = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "README.md", WEIGHTS,
}  # fmt: skip


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are short: their number and words are what counts here."""
    monkeypatch.setattr(transfer, "LONGEST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(transfer, "SILENCE_SECONDS", 0.5)


def blobs(pattern: str = "*") -> list[Path]:
    return sorted((repository_folder(NAME) / "blobs").glob(pattern))


def snapshots() -> list[Path]:
    return list((repository_folder(NAME) / "snapshots").glob("*"))


def events(job: JobContext, kind: str) -> list[dict]:
    lines = map(json.loads, (job.folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["kind"] == kind]


def test_a_whole_fetch_is_pinned_and_holds_what_a_model_needs(hub, job, said):
    found = fetch(NAME, "main", job)
    assert found.commit == COMMIT
    assert {file.name for file in found.folder.iterdir()} == TAKEN
    for file in found.folder.iterdir():
        assert file.read_bytes() == hub.files[file.name]
    assert found.folder == repository_folder(NAME) / "snapshots" / COMMIT
    assert (repository_folder(NAME) / "refs" / "main").read_text() == COMMIT
    assert found.arrived == sum(len(hub.files[name]) for name in TAKEN)
    last = events(job, "progress")[-1]
    assert last["unit"] == "MB"
    assert last["done"] == last["total"] == round(found.arrived / 1e6, 2)
    assert not blobs("*.incomplete")


def test_the_library_finds_what_was_fetched_and_takes_it_offline(hub, job, monkeypatch):
    from huggingface_hub import snapshot_download

    folder = fetch(NAME, "main", job).folder
    assert Path(snapshot_download(NAME, local_files_only=True)) == folder


def test_a_second_fetch_brings_nothing(hub, job):
    fetch(NAME, "main", job)
    hub.requests.clear()
    assert fetch(NAME, "main", job).arrived == 0
    assert [r.path for r in hub.requests] == [f"/api/models/{NAME}/revision/main"]


def test_a_broken_connection_goes_on_by_range_and_brings_no_byte_twice(hub, job, said):
    hub.break_after, hub.breaks = 100_000, 2
    found = fetch(NAME, "main", job)
    assert (found.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    ranges = [r.range for r in hub.asked(part="/cdn/")]
    assert ranges[0] is None
    begins = [int(r.removeprefix("bytes=").rstrip("-")) for r in ranges[1:]]
    assert len(begins) == 2
    assert begins == sorted(begins)
    assert begins[0] > 90_000
    assert found.arrived == sum(len(hub.files[name]) for name in TAKEN)
    assert hub.sent[WEIGHTS] - len(hub.files[WEIGHTS]) <= 2 * 65_536
    assert "try 1 of 5" in said(job)


def test_a_fetch_that_was_ended_goes_on_in_another_process_where_it_stopped(hub, job, said):
    hub.break_after = 100_000
    hub.silent = True
    timer = threading.Thread(target=_stop_when_silent, args=(hub, job))
    timer.start()
    with pytest.raises(Stopped):
        fetch(NAME, "main", job)
    timer.join()
    (part,) = blobs("*.incomplete")
    assert part.name == hashlib.sha256(hub.files[WEIGHTS]).hexdigest() + ".incomplete"
    kept = part.stat().st_size
    assert kept > 90_000
    assert not snapshots(), "what is not whole is not offered as a model"
    hub.release.set()
    hub.break_after = None
    again = JobContext.local(job.folder.with_name("again"))
    hub.requests.clear()
    found = fetch(NAME, "main", again)
    assert [r.range for r in hub.asked(part="/cdn/")] == [f"bytes={kept}-"]
    assert found.arrived == len(hub.files[WEIGHTS]) - kept
    assert f"going on after {kept:,} bytes" in said(again)
    assert (found.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


def _stop_when_silent(hub, job) -> None:
    deadline = time.monotonic() + 10
    while hub.sent.get(WEIGHTS, 0) < 100_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    job.stop.set()


def test_a_stop_does_not_wait_for_a_silent_server(hub, job, monkeypatch):
    monkeypatch.setattr(transfer, "SILENCE_SECONDS", 30.0)
    hub.break_after, hub.silent = 50_000, True
    threading.Thread(target=_stop_when_silent, args=(hub, job)).start()
    hub.sent[WEIGHTS] = 60_000
    started = time.monotonic()
    with pytest.raises(Stopped):
        fetch(NAME, "main", job)
    assert time.monotonic() - started < 5


def test_a_server_that_is_gone_is_tried_a_few_times_and_then_said(hub, job, said):
    hub.break_after = 0
    with pytest.raises(StageError, match="could not be fetched") as caught:
        fetch(NAME, "main", job)
    assert len(hub.asked(part="/cdn/")) == 1 + transfer.RETRIES
    assert "try 5 of 5" in said(job)
    assert "goes on" in caught.value.do
    assert not snapshots()


def test_a_silent_server_is_given_up(hub, job, said, monkeypatch):
    monkeypatch.setattr(transfer, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(transfer, "RETRIES", 1)
    hub.break_after, hub.silent = 0, True
    with pytest.raises(StageError, match="no answer"):
        fetch(NAME, "main", job)
    assert "try 1 of 1" in said(job)


def test_a_server_that_ignores_ranges_sends_the_file_from_its_start(hub, job):
    hub.break_after, hub.breaks, hub.ignore_ranges = 100_000, 1, True
    found = fetch(NAME, "main", job)
    assert (found.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


def test_a_wrong_digest_is_refused_and_nothing_of_it_stays(hub, job):
    hub.corrupt = WEIGHTS
    with pytest.raises(StageError, match="its digest is another") as caught:
        fetch(NAME, "main", job)
    assert hashlib.sha256(hub.files[WEIGHTS]).hexdigest() in caught.value.expected
    assert not snapshots()
    assert hub.digest(WEIGHTS) not in {blob.name for blob in blobs()}
    assert not blobs("*.incomplete")


def test_a_wrong_digest_of_a_small_file_is_refused(hub, job):
    hub.corrupt = "tokenizer.json"
    with pytest.raises(StageError, match=r"tokenizer\.json is not the file"):
        fetch(NAME, "main", job)


def test_a_damaged_part_is_thrown_away_and_the_file_comes_whole(hub, job, said):
    folder = repository_folder(NAME) / "blobs"
    folder.mkdir(parents=True)
    (folder / (hub.digest(WEIGHTS) + ".incomplete")).write_bytes(b"\0" * 5000)
    found = fetch(NAME, "main", job)
    assert (found.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert "was damaged" in said(job)


def test_a_damaged_file_in_the_cache_is_fetched_again(hub, job, said):
    found = fetch(NAME, "main", job)
    (found.folder / WEIGHTS).resolve().write_bytes(b"rubbish")
    fetch(NAME, "main", job)
    assert (found.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert "in the cache is damaged" in said(job)


def test_a_missing_revision_names_the_key(hub, job):
    with pytest.raises(StageError, match="has no revision 'v9'") as caught:
        fetch(NAME, "v9", job)
    assert "model.revision" in caught.value.where


@pytest.mark.parametrize(
    ("status", "code", "words", "do"),
    [
        (401, "", "401", "HF_TOKEN"),
        (403, "GatedRepo", "gated", "accept"),
        (404, "RepoNotFound", "not on the Hub", "spelling"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(hub, job, status, code, words, do):
    hub.status, hub.error_code = status, code
    with pytest.raises(StageError, match=words) as caught:
        fetch(NAME, "main", job)
    assert do in caught.value.do
    assert NAME in caught.value.where
    assert len(hub.requests) == 1, "a refusal is no reason to try again"


def test_a_busy_hub_is_asked_again(hub, job, said, monkeypatch):
    monkeypatch.setattr(fetching, "ASK_RETRIES", 1)
    hub.status = 503
    with pytest.raises(StageError, match="status 503"):
        fetch(NAME, "main", job)
    assert len(hub.requests) == 2
    assert "try 1 of 1" in said(job)


def test_too_little_room_is_said_before_the_weights_come(hub, job, monkeypatch):
    usage = fetching.shutil.disk_usage(job.folder)._replace(free=100_000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StageError, match="GB free") as caught:
        fetch(NAME, "main", job)
    assert "HF_HOME" in caught.value.do
    assert not hub.asked(part=WEIGHTS)


def test_a_disk_that_takes_no_more_keeps_the_part(hub, job):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StageError, match="the disk is full") as caught:
            fetch(NAME, "main", job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (part,) = blobs("*.incomplete")
    assert caught.value.where == str(part)
    assert part.stat().st_size == 100_000
    assert not snapshots()
    assert fetch(NAME, "main", job).arrived == len(hub.files[WEIGHTS]) - 100_000


def test_offline_takes_what_the_cache_holds_and_says_so(hub, job, said, monkeypatch):
    online = fetch(NAME, "main", job)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    found = fetch(NAME, "main", job)
    assert (found.folder, found.commit, found.offline) == (online.folder, COMMIT, True)
    assert not hub.requests
    assert "offline mode" in said(job)
    (found.folder / WEIGHTS).resolve().write_bytes(b"rubbish")
    with pytest.raises(StageError, match="damaged"):
        fetch(NAME, "main", job)


def test_offline_without_the_model_says_what_to_do(hub, job, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StageError, match="offline mode is on") as caught:
        fetch(NAME, "main", job)
    assert "HF_HUB_OFFLINE" in caught.value.do
    assert not hub.requests


def test_a_part_is_no_model_offline(hub, job, monkeypatch):
    hub.break_after = 0
    with pytest.raises(StageError):
        fetch(NAME, "main", job)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StageError, match="not whole in the cache"):
        fetch(NAME, "main", job)


def test_an_unreachable_hub_leaves_the_cache(hub, job, said, monkeypatch):
    fetch(NAME, "main", job)
    monkeypatch.setattr(fetching, "ASK_RETRIES", 0)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert fetch(NAME, "main", job).offline
    assert "cannot be reached" in said(job)


def test_the_token_goes_to_the_hub_alone_and_nowhere_to_the_disk(hub, job, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    hub.token = "hf_secretsecret"
    fetch(NAME, "main", job)
    assert {r.token for r in hub.asked(part="/resolve/")} == {"hf_secretsecret"}
    assert {r.token for r in hub.asked(part="/cdn/")} == {None}
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 6
    assert not [file for file in files if b"hf_secret" in file.read_bytes()]


def test_pickled_weights_alone_are_refused_by_name(hub, job):
    del hub.files[WEIGHTS]
    with pytest.raises(StageError, match=r"no \*\.safetensors weights, only pytorch_model\.bin"):
        fetch(NAME, "main", job)
    assert not hub.asked(part="/resolve/")


def test_code_of_its_own_is_refused_before_the_weights_come(hub, job):
    config = json.loads(hub.files["config.json"]) | {"auto_map": {"AutoModel": "modeling.M"}}
    hub.files["config.json"] = json.dumps(config).encode()
    with pytest.raises(StageError, match="Python code of its own") as caught:
        fetch(NAME, "main", job)
    assert f'trust_remote_code = "{NAME}"' in caught.value.do
    assert not hub.asked(part=WEIGHTS)
    found = fetch(NAME, "main", job, remote_code=True)
    assert (found.folder / "modeling.py").is_file()


def test_only_the_weights_that_the_index_names_are_fetched(hub, job):
    content = hub.files.pop(WEIGHTS)
    hub.files |= {"model-1-of-1.safetensors": content, "consolidated.safetensors": content}
    index = {"weight_map": {"lm_head.weight": "model-1-of-1.safetensors"}}
    hub.files["model.safetensors.index.json"] = json.dumps(index).encode()
    names = {file.name for file in fetch(NAME, "main", job).folder.iterdir()}
    assert "model-1-of-1.safetensors" in names
    assert "consolidated.safetensors" not in names
