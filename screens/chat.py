"""The Chat screen: a conversation with a quantized model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import events as textual_events
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Select, Static, TextArea

from haruon_tui.dataset.persona import user_turn
from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.conversation import Conversation, Exchange, Heard
from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.reading import read_json, read_off_loop, read_page
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.session import Session

PREFERRED = "Q4_K_M"
_DRAW_SECONDS = 0.1
_NO_MODEL = (
    "No GGUF file here yet: R runs every stage that is missing; the stage quantize (6) makes them."
)
_HINT = "i or Enter: write a question. ^t: take an evaluation case."
_PLACEHOLDER = "Enter sends, ^j breaks the line, ^n begins anew, esc leaves"


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file of this workspace."""

    path: Path
    bytes: int

    @property
    def type(self) -> str:
        return self.path.name.removesuffix(".gguf").rpartition(".")[2]


class ChatScreen(StageScreen):
    """The model, what was said, and the line to write on."""

    CSS_PATH = stylesheet("chat")
    BINDINGS = bindings("chat", "stage", "job")
    AUTO_FOCUS = "#said"

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self.conversation = Conversation(
            self.post_message, lambda: session.workspace.settings.chat
        )
        self._model_runs: tuple[str, ...] | None = None
        self._cases: list[dict[str, Any]] = []
        self._cases_run = ""
        self._next_case = 0
        self._case_words = ""
        self._changed = True

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="head"):
            model: Select[Path] = Select([], id="model", prompt="no GGUF file yet", compact=True)
            yield model
            yield Static("", id="state", markup=False)
        with VerticalScroll(id="said"):
            yield Static(_NO_MODEL, id="hint", markup=False)
        yield PromptArea(id="prompt", compact=True, placeholder=_PLACEHOLDER)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#said", VerticalScroll).anchor()
        self.set_interval(_DRAW_SECONDS, self._draw)

    def on_unmount(self) -> None:
        self.conversation.close()

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
        select = self.query_one("#model", Select)
        chosen = default_model(files, self.conversation.model)
        select.set_options([(Text(f"{f.type}  {size(f.bytes)}"), f.path) for f in files])
        if chosen:
            select.prompt = "choose a model"
            select.value = chosen
            if self.conversation.model is None:
                self.conversation.choose(chosen)  # so that the change loads nothing
        self._changed = True

    def _show_answer(self, answer: dict[str, Any]) -> None:
        self.conversation.exchanges = [e for e in self.conversation.exchanges if not e.quoted]
        self.conversation.quote(quoted(answer))
        self._changed = True

    @on(Select.Changed, "#model")
    def _model_changed(self, event: Select.Changed) -> None:
        if isinstance(event.value, Path) and event.value != self.conversation.model:
            self.conversation.choose(event.value)
            self.conversation.load()
            self._changed = True

    # The conversation

    def on_heard(self, message: Heard) -> None:
        self.conversation.take(message)
        self._changed = True

    def _draw(self) -> None:
        """Show what has changed; ten times a second at most, however fast the model writes."""
        if not self._changed or not self.is_current:
            return
        self._changed = False
        said = self.query_one("#said", VerticalScroll)
        views = list(said.query(ExchangeView))
        exchanges = self.conversation.exchanges
        for view in views[len(exchanges) :]:
            view.remove()
        for view, exchange in zip(views, exchanges, strict=False):
            view.show(exchange)
        if fresh := exchanges[len(views) :]:
            said.mount_all([ExchangeView(exchange) for exchange in fresh])
        hint = self.query_one("#hint", Static)
        hint.display = not exchanges
        hint.update(_HINT if self.conversation.model else _NO_MODEL)
        self.query_one("#state", Static).update(self._state_words())
        self.refresh_bindings()

    def _state_words(self) -> str:
        conversation = self.conversation
        if conversation.state == "no worker":
            words = f"✗ {conversation.words}; Enter starts it again" if conversation.words else ""
        else:
            words = conversation.words + ("  esc stops" if conversation.busy else "")
        return "  ".join(filter(None, (words, self._case_words)))

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
            self.conversation.ask(prompt.text.strip())
            prompt.text = ""
            self.query_one("#said", VerticalScroll).anchor()
        self._changed = True

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        writing = isinstance(self.focused, PromptArea)
        if action in ("insert_case", "choose_model", "report_mode"):
            return True if self.conversation.model else None
        if action == "write":
            return not writing
        if action == "new_conversation":
            return bool(self.conversation.exchanges)
        if action == "stop_answer":
            return writing or self.conversation.busy
        return super().check_action(action, parameters)

    def action_write(self) -> None:
        self.query_one("#prompt", PromptArea).focus()

    def action_stop_answer(self) -> None:
        if self.conversation.busy:
            self.conversation.stop()
            self._changed = True
        else:
            self.query_one("#said").focus()

    def action_new_conversation(self) -> None:
        self.conversation.clear()
        self._changed = True

    def action_choose_model(self) -> None:
        select = self.query_one("#model", Select)
        select.focus()
        select.action_show_overlay()

    def action_report_mode(self) -> None:
        if model := self.conversation.model:
            from haruon_tui.screens.report_mode import ReportModeScreen

            cases = _finished(self.session.steps, "dataset")
            self.app.push_screen(ReportModeScreen(self.session, model, cases))

    def action_side_by_side(self) -> None:
        from haruon_tui.screens.chat_side_by_side import ChatSideBySideScreen

        marked = [self.conversation.model] if self.conversation.model else []
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
        prompt.focus()
        named = one_line(cases[number].get("id", ""))
        self._case_words = f"case {number + 1} of {len(cases)}: {named}"
        self._changed = True


class PromptArea(TextArea):
    """Several lines to write on: Enter sends, shift+Enter or ^j starts a new line."""

    class Sent(Message):
        """Enter was pressed."""

    async def _on_key(self, event: textual_events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Sent())
        elif event.key in ("shift+enter", "ctrl+j"):
            event.stop()
            event.prevent_default()
            self.insert("\n")


class ExchangeView(Static):
    """One exchange as plain text."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange_text(exchange), markup=False)
        self._shown = _mark(exchange)

    def show(self, exchange: Exchange) -> None:
        """Show this exchange, if it is another one or has changed."""
        if _mark(exchange) != self._shown:
            self._shown = _mark(exchange)
            self.update(exchange_text(exchange))


def exchange_text(exchange: Exchange) -> Text:
    """The question, the answer so far, and how it went."""
    asker = "the pipeline asked" if exchange.quoted else "you"
    text = Text(f"{asker}\n", style="bold")
    text.append(f"{plain(exchange.prompt)}\n\n", "not bold")
    text.append(f"{one_line(exchange.model)}\n")
    text.append(plain(exchange.answer), "not bold")
    if exchange.open:
        text.append("▌" if exchange.answer else "…", "not bold")
    if exchange.note:
        text.append(f"\n[{one_line(exchange.note)}]", "not bold italic")
    return text.append("\n")


def quoted(answer: dict[str, Any]) -> Exchange:
    """The chat stage's answer.json as an exchange."""
    of = answer.get("timings") or {}
    words = [f"{of.get('generated_tokens', 0)} tokens"]
    if of.get("time_to_first_token") is not None:
        words.append(f"first after {of['time_to_first_token']:.2f} s")
    if of.get("tokens_per_second") is not None:
        words.append(f"{of['tokens_per_second']:.1f} tokens/s")
    words.append("ended by itself" if answer.get("stopped") else "did not end by itself")
    return Exchange(
        user_turn(answer["case"]["answers"]),
        str(answer.get("model", "")),
        str(answer.get("text", "")),
        ", ".join(words),
    )


def model_files(folders: list[Path]) -> list[ModelFile]:
    """The GGUF files in these folders."""
    return [
        ModelFile(path, path.stat().st_size)
        for folder in folders
        for path in sorted(folder.glob("*.gguf"))
        if not path.name.startswith(".")
    ]


def default_model(files: list[ModelFile], now: Path | None) -> Path | None:
    """The one that is chosen now, else the preferred type, else the first."""
    paths = [file.path for file in files]
    if now in paths:
        return now
    preferred = [file.path for file in files if file.type == PREFERRED]
    return next(iter(preferred or paths), None)


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The first cases of a cases.jsonl. Raises OSError."""
    return [case for case in read_page(path).items if case and "answers" in case]


def _finished(steps: dict[str, Step], stage: str) -> Run | None:
    step = steps.get(stage)
    return step.finished if step else None


def _mark(exchange: Exchange) -> tuple[int, int, bool, str]:
    return id(exchange), len(exchange.answer), exchange.open, exchange.note
