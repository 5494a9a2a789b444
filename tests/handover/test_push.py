"""A push completes, goes on where it broke, replaces nothing unasked, and keeps the token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from haruon_tui.errors import ConfigurationError, HaruonError, StageError
from haruon_tui.handover import push, push_stage
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader
from tests.handover.conftest import TYPES, Finished, command
from tests.handover.hub_server import TOKEN, Handler, Writable

NAME = "kim/haruon-test"
FILES = ["README.md", "model.F16.gguf", *(f"model.{kind}.gguf" for kind in TYPES)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writable]:
    """A Hub at HF_ENDPOINT, for this process and for its jobs."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    state = Writable()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Handler,), {"hub": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in (
        ("HF_ENDPOINT", state.url),
        ("HF_TOKEN", TOKEN),
        ("HF_HUB_DISABLE_XET", "1"),
        ("NO_PROXY", "127.0.0.1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", state.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "run")


def asked(whole: Finished, **changes: object) -> push_stage.Params:
    params, _ = push.params_for(whole.store, whole.steps, NAME)
    return params.model_copy(update=changes)


def test_the_files_and_the_card_arrive_in_one_commit(
    whole: Finished, hub: Writable, job: JobContext
) -> None:
    params = asked(whole)
    result = push_stage.run(params, job)
    there = hub.repositories[NAME]
    assert sorted(there) == sorted(FILES) == sorted(result.files)
    assert hub.commits == [sorted(FILES)]
    assert there["README.md"].decode() == params.card
    for path in params.files:
        assert there[path.name] == path.read_bytes()
    assert hub.private[NAME] is True
    assert result.url == f"{hub.url}/{NAME}"


def test_it_is_public_only_when_asked(whole: Finished, hub: Writable, job: JobContext) -> None:
    push_stage.run(asked(whole, public=True), job)
    assert hub.private[NAME] is False


def test_the_same_again_commits_nothing(whole: Finished, hub: Writable, job: JobContext) -> None:
    push_stage.run(asked(whole), job)
    uploads = len(hub.uploads)
    push_stage.run(asked(whole), job)
    assert len(hub.commits) == 1
    assert len(hub.uploads) == uploads


def test_a_connection_that_drops_for_a_moment_is_tried_again(
    whole: Finished, hub: Writable, job: JobContext
) -> None:
    hub.drops = 2
    push_stage.run(asked(whole), job)
    assert sorted(hub.repositories[NAME]) == sorted(FILES)


def test_after_a_broken_connection_a_rerun_sends_only_what_is_missing(
    whole: Finished, hub: Writable, job: JobContext
) -> None:
    params = asked(whole)
    first = params.files[0]
    hub.stored[params.sha256[0]] = first.read_bytes()
    hub.drops = 100
    with pytest.raises(StageError, match="broke") as raised:
        push_stage.run(params, job)
    assert "run the same again" in str(raised.value)
    assert hub.repositories[NAME] == {}, "nothing half is committed"
    hub.drops = 0
    push_stage.run(params, job)
    assert sorted(hub.repositories[NAME]) == sorted(FILES)
    assert params.sha256[0] not in hub.uploads
    assert sorted(hub.uploads) == sorted(params.sha256[1:])


@pytest.mark.parametrize(
    ("part", "status", "said"),
    [
        ("/api/", 401, "token in HF_TOKEN is not accepted"),
        ("repos/create", 403, "may not write there"),
        ("preupload", 403, "may not write there"),
        ("repos/create", 404, "may not see it"),
        ("preupload", 404, "may not see it"),
        ("objects/batch", 403, "may not write there"),
        ("commit/", 412, "changed by someone else"),
        ("preupload", 503, "cannot be written now"),
    ],
)
def test_a_refusal_says_what_to_do(
    whole: Finished, hub: Writable, job: JobContext, part: str, status: int, said: str
) -> None:
    hub.refuse = {part: status}
    with pytest.raises(StageError, match=said) as raised:
        push_stage.run(asked(whole), job)
    assert f"({status} from {hub.url})" in str(raised.value)
    assert raised.value.do
    assert TOKEN not in str(raised.value)
    assert not any(hub.repositories.values())
    hub.refuse = {}
    push_stage.run(asked(whole), job)
    assert sorted(hub.repositories[NAME]) == sorted(FILES)


def test_another_server_is_no_hub(
    whole: Finished, hub: Writable, job: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(handler: Handler) -> None:
        handler._body()
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"hi")

    monkeypatch.setattr(Handler, "do_GET", plain)
    monkeypatch.setattr(Handler, "do_POST", plain)
    with pytest.raises(StageError, match="does not answer as the Hugging Face Hub"):
        push_stage.run(asked(whole), job)


def test_what_is_there_is_not_replaced_unasked(
    whole: Finished, hub: Writable, job: JobContext
) -> None:
    hub.repositories[NAME] = {"README.md": b"mine", "model.Q4_0.gguf": b"GGUF mine"}
    with pytest.raises(ConfigurationError, match=r"model\.Q4_0\.gguf, README\.md already"):
        push_stage.run(asked(whole), job)
    assert hub.repositories[NAME]["README.md"] == b"mine"
    assert push.replaced(asked(whole)) == ["model.Q4_0.gguf", "README.md"]
    push_stage.run(asked(whole, replace=True), job)
    assert hub.repositories[NAME]["README.md"].startswith(b"---")


def test_a_file_that_was_changed_is_not_pushed(
    whole: Finished, hub: Writable, job: JobContext
) -> None:
    params = asked(whole)
    params.files[0].write_text("GGUF other")
    with pytest.raises(StageError, match="was changed since"):
        push_stage.run(params, job)
    assert hub.repositories == {}


@pytest.mark.parametrize("name", ["haruon", "a/b/c", "하루온/모델", "../x", "a b/c", "-x/y", ""])
def test_a_wrong_name_is_refused_before_anything_is_asked(
    whole: Finished, hub: Writable, name: str
) -> None:
    with pytest.raises(HaruonError, match="no name of a repository"):
        push.params_for(whole.store, whole.steps, name)


def test_without_a_token_it_says_where_to_make_one(
    whole: Finished, hub: Writable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigurationError, match="no token") as raised:
        push.params_for(whole.store, whole.steps, NAME)
    assert raised.value.where == "HF_TOKEN"
    assert f"{hub.url}/settings/tokens" in str(raised.value)


def test_the_command_pushes_as_a_job_and_the_token_is_in_no_file(
    whole: Finished, hub: Writable, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARUON_STATE_DIR", str(tmp_path / "state"))
    folder = whole.workspace.folder
    assert command(folder, "export", "push", NAME, "--gguf", "q4_0") == 0
    assert sorted(hub.repositories[NAME]) == ["README.md", "model.Q4_0.gguf"]
    hub.repositories[NAME]["README.md"] = b"mine"
    assert command(folder, "export", "push", NAME, "--gguf", "Q4_0") == 2
    said = capsys.readouterr()
    assert "--yes" in said.err
    assert hub.repositories[NAME]["README.md"] == b"mine"
    assert command(folder, "export", "push", NAME, "--gguf", "Q4_0", "--yes") == 0
    assert hub.repositories[NAME]["README.md"].startswith(b"---")
    assert command(folder, "export", "push", NAME, "--gguf", "Q9") == 2
    runs = list(whole.store.of_stage("push"))
    assert len(runs) == 2
    assert any(event["kind"] == "progress" for event in EventReader(runs[0].log).read())
    for root in (folder, tmp_path / "state"):
        for file in filter(Path.is_file, root.rglob("*")):
            assert TOKEN.encode() not in file.read_bytes(), file
    assert TOKEN not in said.out + said.err
