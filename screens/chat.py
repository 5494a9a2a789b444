"""The Chat screen: a conversation with one model, kept as it happens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Select, Static, TextArea

from haruon_tui.chat.models import Model, names_of
from haruon_tui.chat.protocol import Prompt, Rendered, Token
from haruon_tui.chat.tree import Turn
from haruon_tui.dataset.persona import user_turn
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.chat_files import (
    ModelFile,
    default_model,
    model_files,
    quoted,
    read_cases,
)
from haruon_tui.screens.conversation import Conversation
from haruon_tui.screens.engine import parts
from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.prompt_area import PromptArea
from haruon_tui.screens.reading import read_json, read_off_loop
from haruon_tui.screens.sampling_panel import SamplingPanel
from haruon_tui.screens.session import Notice
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.turn_view import TurnView
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.session import Session
    from haruon_tui.settings import ChatSettings

_DRAW_SECONDS = 0.25
_STATE_SECONDS = 1.0
_NO_MODEL = (
    "No GGUF file here yet: R runs every stage that is missing; the stage quantize (6) makes "
    "them. ^o takes any file, or an address."
)
_HINT = (
    "i or Enter: write a question. ^t: take an evaluation case. ^o: another model.\n"
    "o: earlier conversations. p: sampling. P: the system prompt. ?: every key."
)
_PLACEHOLDER = "Enter sends, ^j breaks the line, ^n begins anew, esc leaves"
_METER = 12


class ChatScreen(StageScreen):
    """The model, what was said, and the line to write on."""

    CSS_PATH = stylesheet("chat")
    BINDINGS = bindings("chat", "stage", "job")
    AUTO_FOCUS = "#said"

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self.conversation = Conversation(
            self.post_message, session.workspace.folder, self._not_kept, self._gpu_taken
        )
        self._model_runs: tuple[str, ...] | None = None
        self._models: dict[str, Model] = {}
        self._labels: dict[str, str] = {}
        self._cases: list[dict[str, Any]] = []
        self._cases_run = ""
        self._next_case = 0
        self._case_words = ""
        self._changed = True
        self._first = False
        self._at: Turn | None = None
        """The turn that the keys mean; None is the last one."""
        self._edited: Turn | None = None
        self._raw = False
        self._drawn: tuple[object, ...] = ()
        self._state_due, self._words = 0.0, ""
        """What the hint and the keys were last drawn for."""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="head"):
            model: Select[str] = Select([], id="model", prompt="no GGUF file yet", compact=True)
            yield model
            yield Static("", id="state", markup=False)
        with Horizontal(id="middle"):
            with VerticalScroll(id="said"):
                yield Static(_NO_MODEL, id="hint", markup=False)
            yield SamplingPanel()
        with Vertical(id="writing"):
            yield PromptArea(id="prompt", compact=True, placeholder=_PLACEHOLDER)

    def on_mount(self) -> None:
        self.query_one("#said", VerticalScroll).anchor()
        self.query_one(SamplingPanel).display = False
        workspace = self.session.workspace
        read_off_loop(self, lambda: workspace.settings.chat, self._settings_read)
        self.set_interval(_DRAW_SECONDS, self._tick)

    def on_unmount(self) -> None:
        self.conversation.close()

    def _settings_read(self, settings: ChatSettings) -> None:
        self.conversation.set_up(settings)
        self.query_one(SamplingPanel).show(settings, own=True)
        self._changed = True

    def _not_kept(self, error: Exception) -> None:
        """In a thread: the conversation cannot be written."""
        self.app.post_message(Notice("\n".join(parts(error).values()), "error"))

    def _gpu_taken(self) -> bool:
        runs = self.session.overview.runs
        jobs = [row.run.job for row in runs if row.status.state.active and row.run.readable]
        return any(name != "cpu" for job in jobs for name in job.devices)

    # What the workspace has

    def show_plan(self, steps: dict[str, Step]) -> None:
        runs = [run for name in ("quantize", "convert") if (run := _finished(steps, name))]
        ids = tuple(run.id for run in runs)
        if ids != self._model_runs:
            self._model_runs = ids
            folders = [run.artifacts for run in runs]
            read_off_loop(self, lambda: model_files(folders), self._show_models)

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        if result is not None:
            path = run.artifacts / "answer.json"
            read_off_loop(self, lambda: read_json(path), self._show_answer)

    def _show_models(self, files: list[ModelFile]) -> None:
        self._models = {str(file.path): file.path for file in files}
        self._labels = {str(file.path): f"{file.type}  {size(file.bytes)}" for file in files}
        chosen = default_model(files)
        if self.conversation.model is None and chosen:
            self.conversation.choose(chosen)  # so that the change loads nothing
        self._list_models()

    def _list_models(self) -> None:
        """Offer the workspace's models and the chosen one."""
        model = self.conversation.model
        labels = dict(self._labels)
        if model is not None and str(model) not in labels:
            labels[str(model)] = names_of([model])[0]
            self._models[str(model)] = model
        select = self.query_one("#model", Select)
        with select.prevent(Select.Changed):
            select.set_options([(Text(one_line(label)), key) for key, label in labels.items()])
            if model is not None:
                select.prompt = "choose a model"
                select.value = str(model)
        self._changed = True

    def _show_answer(self, answer: dict[str, Any]) -> None:
        self.conversation.quoted = quoted(answer)
        self._changed = True

    @on(Select.Changed, "#model")
    def _model_changed(self, event: Select.Changed) -> None:
        model = self._models.get(str(event.value))
        if model is not None and model != self.conversation.model:
            self._talk_to(model)

    def _talk_to(self, model: Model) -> None:
        self.conversation.choose(model)
        self.conversation.load()
        self._list_models()

    # The conversation

    def on_heard(self) -> None:
        self._take()

    def _take(self) -> None:
        for event in self.conversation.take():
            self._changed = True
            if isinstance(event, Rendered):
                self._show_prompt(event)
            elif isinstance(event, Prompt):
                self._first = True
            elif self._first and isinstance(event, Token) and event.text.strip():
                self._first = False
                self._draw()  # the first words at once

    @on(SamplingPanel.Changed)
    def _sampling_changed(self, event: SamplingPanel.Changed) -> None:
        self.conversation.set_up(event.settings)
        self._changed = True

    def _tick(self) -> None:
        self._take()
        self.conversation.tick()
        self._draw()

    def _draw(self) -> None:
        """Show what has changed; four times a second at most, however fast the model writes, as
        the model needs the cores."""
        if not self._changed or not self.is_current:
            return
        self._changed = False
        said = self.query_one("#said", VerticalScroll)
        views, turns = list(said.query(TurnView)), self.conversation.shown
        for view in views[len(turns) :]:
            view.remove()
        views = views[: len(turns)]
        if fresh := [TurnView(turn) for turn in turns[len(views) :]]:
            said.mount_all(fresh)
            views += fresh
        if self._at not in turns:
            self._at = None
        for view, turn in zip(views, turns, strict=True):
            place = self._place(turn)
            view.show(turn, place, raw=self._raw, selected=turn is self._at)
        self._draw_state()
        calls = (self.conversation.state, self.conversation.busy, bool(turns), self._at)
        if calls != self._drawn:
            self._drawn = calls
            hint = self.query_one("#hint", Static)
            hint.display = not turns
            hint.update(_HINT if self.conversation.model else _NO_MODEL)
            # each blink renders the screen, and a model that writes needs the cores
            self.query_one("#prompt", PromptArea).cursor_blink = not self.conversation.busy
            self.refresh_bindings()

    def _draw_state(self) -> None:
        """While a model writes only its meter moves, for which once a second is enough: it is far
        from the text, and all that lies between is rendered with the two."""
        now, words = time.monotonic(), self._state_words()
        if self.conversation.busy and words == self._words and now < self._state_due:
            return
        self._state_due, self._words = now + _STATE_SECONDS, words
        shown = "  ".join(filter(None, (words, self._meter())))
        self.query_one("#state", Static).update(shown, layout=False)

    def _place(self, turn: Turn) -> str:
        if turn.quoted:
            return ""
        branches = self.conversation.tree.branches(turn)
        if len(branches) < 2:
            return ""
        return f"‹ {branches.index(turn) + 1} of {len(branches)} ›"

    def _state_words(self) -> str:
        conversation = self.conversation
        if conversation.state == "no worker":
            words = f"✗ {conversation.words}; Enter starts it again" if conversation.words else ""
        else:
            words = conversation.words + ("  esc stops" if conversation.busy else "")
        if self._edited:
            words = "a changed question, beside the first: Enter sends it, esc leaves it"
        return "  ".join(filter(None, (words, self._case_words)))

    def _meter(self) -> str:
        """How full the context is, and the worker's memory."""
        conversation = self.conversation
        if conversation.state == "no worker":
            return ""
        words = []
        if conversation.context:
            full = min(_METER, round(_METER * conversation.used / conversation.context))
            bar = "█" * full + "░" * (_METER - full)
            words.append(f"{bar} {conversation.used:,}/{conversation.context:,}")
        if conversation.memory_bytes:
            words.append(size(conversation.memory_bytes))
        return " ".join(words)

    @on(TextArea.Changed, "#prompt")
    def _prompt_changed(self) -> None:
        if not self.query_one("#prompt", PromptArea).text:
            self._case_words, self._changed = "", True

    def on_prompt_area_sent(self) -> None:
        prompt = self.query_one("#prompt", PromptArea)
        if self.conversation.model is None:
            self.notify(_NO_MODEL, severity="warning", markup=False)
        elif self.conversation.busy:
            self.notify("One answer at a time: esc stops this one.", severity="warning")
        elif prompt.text.strip():
            text, edited, self._edited = prompt.text.strip(), self._edited, None
            if edited:
                self.conversation.change(edited, text)
            else:
                self.conversation.ask(text)
            prompt.text = ""
            self._at = None
            self.query_one("#said", VerticalScroll).anchor()
        self._changed = True

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        writing = isinstance(self.focused, PromptArea)
        if action in ("insert_case", "report_mode", "side_by_side"):
            return True if self.conversation.model else None
        if action == "write":
            return not writing
        if action == "new_conversation":
            return bool(self.conversation.shown)
        if action == "stop_answer":
            return writing or self.conversation.busy or bool(self._at)
        if action in _ON_A_TURN:
            return bool(self._turn()) and not writing
        return super().check_action(action, parameters)

    def _turn(self) -> Turn | None:
        """The turn that the keys mean."""
        turns = self.conversation.shown
        return self._at or (turns[-1] if turns else None)

    def _own_turn(self) -> Turn | None:
        """The same, unless the pipeline asked it or an answer is under way; that is said."""
        turn = self._turn()
        if turn is None or turn.quoted:
            self.notify("Write a question of your own first: i.", severity="warning")
            return None
        if self.conversation.busy:
            self.notify("One answer at a time: esc stops this one.", severity="warning")
            return None
        return turn

    def action_write(self) -> None:
        self.set_focus(self.query_one("#prompt"))

    def action_stop_answer(self) -> None:
        if self.conversation.busy:
            self.conversation.stop()
        elif self._edited:
            self._edited = None
            self.query_one("#prompt", PromptArea).text = ""
        elif isinstance(self.focused, PromptArea):
            self.set_focus(self.query_one("#said"))
        else:
            self._at = None
            self.set_focus(self.query_one("#said"))
        self._changed = True

    def action_new_conversation(self) -> None:
        self.conversation.clear()
        self._at = self._edited = None
        self._changed = True

    def action_select(self, step: int) -> None:
        turns, now = self.conversation.shown, self._turn()
        if now:
            place = turns.index(now) + (step if self._at else 0)
            self._at = turns[max(0, min(len(turns) - 1, place))]
            self._changed = True
            for view in self.query(TurnView):
                if view.turn is self._at:
                    view.scroll_visible()

    def action_again(self) -> None:
        if turn := self._own_turn():
            settings = self.conversation.settings
            if settings and settings.temperature == 0:
                self.notify("At temperature 0 the same answer comes again: p changes it.")
            self.conversation.again(turn)
            self._at, self._changed = None, True

    def action_edit(self) -> None:
        if turn := self._own_turn():
            self._edited, self._changed = turn, True
            prompt = self.query_one("#prompt", PromptArea)
            prompt.text = turn.prompt
            self.set_focus(prompt)

    def action_branch_here(self) -> None:
        if turn := self._own_turn():
            self.conversation.go(turn.number)
            self._at, self._changed = None, True
            self.action_write()

    def action_other_branch(self, step: int) -> None:
        if turn := self._own_turn():
            self.conversation.branch(turn, step)
            self._at, self._changed = None, True

    def action_raw_prompt(self) -> None:
        if turn := self._own_turn():
            self.conversation.render(turn)
            self._changed = True

    def _show_prompt(self, rendered: Rendered) -> None:
        from haruon_tui.screens.whole_text import WholeTextScreen

        title = f"The prompt as the template writes it, {rendered.tokens:,} tokens"
        self.app.push_screen(WholeTextScreen(title, rendered.text))

    def action_as_written(self) -> None:
        self._raw, self._changed = not self._raw, True

    def action_copy(self) -> None:
        if turn := self._turn():
            self._copy(turn.answer or turn.prompt, "the answer" if turn.answer else "the question")

    def action_copy_code(self) -> None:
        from haruon_tui.chat.transcript import code_blocks

        turn = self._turn()
        blocks = code_blocks(turn.answer) if turn else []
        if blocks:
            self._copy(blocks[-1], "the last block of code")
        else:
            self.notify("There is no block of code in this answer.", severity="warning")

    def _copy(self, text: str, what: str) -> None:
        from haruon_tui.screens import clipboard

        folder = self.session.workspace.folder
        clipboard.copy(self.app, text)
        read_off_loop(
            self,
            lambda: clipboard.keep(folder, text),
            lambda path: self.notify(f"Copied {what}; it is in {path} too.", markup=False),
        )

    def action_keep_example(self) -> None:
        from haruon_tui.chat.transcript import keep_example

        turn = self._own_turn()
        if not turn or not turn.answer:
            return
        messages = self.conversation.tree.messages(turn, answered=True)
        folder = self.session.workspace.folder

        def told(kept: tuple[Path, int, bool]) -> None:
            path, count, fresh = kept
            words = f"{count} in {path}; haruon data import takes it"
            self.notify(f"{'Kept' if fresh else 'Was there already'}: {words}", markup=False)

        read_off_loop(self, lambda: keep_example(folder, messages), told)

    def action_export(self) -> None:
        from haruon_tui.chat.transcript import export

        tree, file = self.conversation.tree, self.conversation.file
        folder = self.session.workspace.folder
        if not tree.path() or file is None:
            self.notify("Nothing has been said yet.", severity="warning")
            return
        name = file.path.stem
        read_off_loop(
            self,
            lambda: export(folder, name, tree),
            lambda files: self.notify(f"Written: {files[0]}, and as JSONL", markup=False),
        )

    def action_sessions(self) -> None:
        from haruon_tui.screens.choose_session import ChooseSessionScreen

        folder = self.session.workspace.folder
        self.app.push_screen(ChooseSessionScreen(folder), self._resume)

    def _resume(self, path: Path | None) -> None:
        from haruon_tui.chat import sessions

        now = self.conversation.file
        if path is None or (now and now.path == path):
            return

        def opened() -> tuple[sessions.SessionFile, Any]:
            file = sessions.SessionFile(path)
            file.open()
            return file, sessions.read(path)

        def resumed(found: tuple[sessions.SessionFile, Any]) -> None:
            self.conversation.resume(*found)
            self._at = self._edited = None
            self._changed = True

        read_off_loop(self, opened, resumed)

    def action_sampling(self) -> None:
        panel = self.query_one(SamplingPanel)
        panel.display = not panel.display
        if panel.display:
            panel.query_one("#preset").focus()
        else:
            self.set_focus(self.query_one("#said"))

    def action_system_prompt(self) -> None:
        from haruon_tui.screens.edit_text import EditTextScreen

        def changed(text: str | None) -> None:
            if text is not None:
                self.conversation.system = text.strip()

        title = "What the model is told first; it holds from the next question on"
        self.app.push_screen(EditTextScreen(title, self.conversation.system), changed)

    def action_choose_model(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        title = "Talk to: a file here, a path, or an address such as http://localhost:8000/v1"
        self.app.push_screen(
            PickScreen(title, list(self._labels.items()), free=True), self._chosen
        )

    def _chosen(self, typed: str | None) -> None:
        from haruon_tui.chat.models import parse

        if typed is None:
            return
        if typed in self._models:
            self._talk_to(self._models[typed])
        else:
            read_off_loop(self, lambda: parse(typed), self._talk_to)

    def action_unload(self) -> None:
        self.conversation.unload()
        self._changed = True

    def action_report_mode(self) -> None:
        model = self.conversation.model
        if isinstance(model, Path):
            from haruon_tui.screens.report_mode import ReportModeScreen

            cases = _finished(self.session.steps, "dataset")
            self.app.push_screen(ReportModeScreen(self.session, model, cases))
        elif model:
            self.notify("Report mode needs a GGUF file: ^o chooses one.", severity="warning")

    def action_side_by_side(self) -> None:
        from haruon_tui.screens.chat_side_by_side import ChatSideBySideScreen

        model = self.conversation.model
        marked = [model] if model else []
        question = self.query_one("#prompt", PromptArea).text
        self.app.push_screen(ChatSideBySideScreen(self.session, marked, question))

    def action_insert_case(self) -> None:
        run = _finished(self.session.steps, "dataset")
        if run is None:
            self.notify("No evaluation cases yet: run dataset (2).", severity="warning")
        elif run.id == self._cases_run:
            self._insert_case(self._cases)
        else:
            self._cases_run, self._next_case = run.id, 0
            path = run.artifacts / "cases.jsonl"
            read_off_loop(self, lambda: read_cases(path), self._insert_case)

    def _insert_case(self, cases: list[dict[str, Any]]) -> None:
        self._cases = cases
        if not cases:
            return
        number = self._next_case % len(cases)
        self._next_case = number + 1
        prompt = self.query_one("#prompt", PromptArea)
        prompt.text = plain(user_turn(cases[number]["answers"]))
        self.set_focus(prompt)
        named = one_line(cases[number].get("id", ""))
        self._case_words = f"case {number + 1} of {len(cases)}: {named}"
        self._changed = True


_ON_A_TURN = frozenset(
    {
        "again",
        "edit",
        "branch_here",
        "other_branch",
        "raw_prompt",
        "as_written",
        "copy",
        "copy_code",
        "keep_example",
        "export",
        "select",
    }
)


def _finished(steps: dict[str, Step], stage: str) -> Run | None:
    step = steps.get(stage)
    return step.finished if step else None
