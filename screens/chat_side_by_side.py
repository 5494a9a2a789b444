"""Two or three models side by side on the same question, and which of them answers best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static, TextArea

from haruon_tui.dataset.persona import SYSTEM_PROMPT, user_turn
from haruon_tui.screens.actions import MODES, Scope, bindings
from haruon_tui.screens.answer_column import AnswerColumn
from haruon_tui.screens.chat_files import read_cases
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.prompt_area import PromptArea
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.screens.votes import VoteWriter, tally_text
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.chat.client_thread import Mode
    from haruon_tui.chat.models import Model
    from haruon_tui.chat.protocol import Event
    from haruon_tui.chat.side_by_side import SideBySide
    from haruon_tui.screens.session import Session
    from haruon_tui.settings import ChatSettings

_DRAW_SECONDS = 0.1
_LABELS = "ABC"
_SCROLL = {"line": 1, "page": 10}
_HINT = "o: choose two or three models. i: write the question they all get. ?: every key."
_PLACEHOLDER = "one question for all of them; Enter sends, esc leaves"


class Said(Message):
    """What the model of this number said."""

    def __init__(self, compared: SideBySide, number: int, event: Event) -> None:
        super().__init__()
        self.compared, self.number, self.event = compared, number, event


class Columns(Horizontal, can_focus=True):
    """Has the focus while nothing is written, so that keys are keys."""


class ChatSideBySideScreen(SessionScreen):
    """The columns, the vote, and the line to write on."""

    CSS_PATH = stylesheet("chat_side_by_side")
    BINDINGS = bindings("side_by_side")
    AUTO_FOCUS = "#columns"
    scopes: tuple[Scope, ...] = ("side_by_side",)

    def __init__(self, session: Session, models: Sequence[Model] = (), question: str = "") -> None:
        """`models` are marked in the list that opens first; `question` is there to be sent."""
        super().__init__(next(mode for mode in MODES if mode.name == "chat"), session)
        self.compared: SideBySide | None = None
        self._marked = list(models)
        self._question = question
        self._mode: Mode = "in turn"
        self._blind = False
        self._votes = VoteWriter(session.workspace.folder)
        self._choice: str | None = None
        self._voted_blind = False
        self._kept = ""
        self._cases: list[dict[str, Any]] = []
        self._next_case = 0
        self._changed = True

    def compose_mode(self) -> ComposeResult:
        yield Static("", id="head", markup=False)
        with Columns(id="columns"):
            for label in _LABELS:
                yield AnswerColumn(f"column-{label}")
        yield Static("", id="vote", markup=False)
        yield Input(placeholder="why? Enter keeps it", id="reason", compact=True)
        yield PromptArea(self._question, id="prompt", compact=True, placeholder=_PLACEHOLDER)

    def on_mount(self) -> None:
        self.set_interval(_DRAW_SECONDS, self._draw)
        self.call_after_refresh(self.action_choose_models)

    def on_unmount(self) -> None:
        if self.compared:
            self.compared.close()
        self._votes.close()

    # The models

    def action_choose_models(self) -> None:
        from haruon_tui.chat.models import files_in

        folders = [
            row.run.artifacts
            for row in self.session.overview.runs
            if row.stage in ("quantize", "convert") and row.status.state == "finished"
        ]
        read_off_loop(self, lambda: files_in(folders), self._ask_models)

    def _ask_models(self, files: list[Path]) -> None:
        from haruon_tui.chat.side_by_side import MOST
        from haruon_tui.screens.choose_models import ChooseModelsScreen

        def chosen(models: list[Model] | None) -> None:
            if models is not None:
                self._marked = models
                self._begin()

        self.app.push_screen(ChooseModelsScreen(files, self._marked, MOST), chosen)

    def _begin(self) -> None:
        """Load the marked models; those before are ended first, as their memory is needed."""
        before, self.compared = self.compared, None
        if before:
            before.close()
        workspace, models = self.session.workspace, list(self._marked)
        self._changed = True

        def ready() -> ChatSettings:
            from haruon_tui.chat.models import check_memory

            if before:
                before.wait_closed(10)
            check_memory(models)
            return workspace.settings.chat

        read_off_loop(self, ready, lambda settings: self._open(models, settings))

    def _open(self, models: list[Model], settings: ChatSettings) -> None:
        from haruon_tui.chat.side_by_side import SideBySide, sampling_of

        made = SideBySide(
            models,
            sampling_of(settings),
            context=settings.context,
            mode=self._mode,
            blind=self._blind,
            hear=lambda number, event: self._hear(made, number, event),
        )
        self.compared = made
        self._forget_vote()
        made.open()
        self.set_focus(self.query_one("#prompt"))

    def _hear(self, compared: SideBySide, number: int, event: Event) -> None:
        """In a thread of a client."""
        if not compared.closed:
            self.post_message(Said(compared, number, event))

    def on_said(self, message: Said) -> None:
        compared = message.compared
        busy = compared.busy
        compared.take(message.number, message.event)
        if busy and not compared.busy:
            for place in self.query(AnswerColumn):  # they are read from their start
                place.view.scroll_home(animate=False)
        self._changed = True

    # Drawing

    def _draw(self) -> None:
        if not self._changed or not self.is_mounted or not self.is_current:
            return
        self._changed = False
        compared = self.compared
        shown = compared.columns if compared else []
        starts = compared.differences() if compared else {}
        for number, place in enumerate(self.query(AnswerColumn)):
            place.display = number < len(shown)
            if compared and place.display:
                place.show(compared, shown[number], starts.get(shown[number].number))
        self.query_one("#head", Static).update(self._head(starts))
        self.query_one("#vote", Static).update(self._vote_words())
        self.query_one("#reason").display = self._choice is not None
        self.refresh_bindings()

    def _head(self, starts: dict[int, int]) -> str:
        compared = self.compared
        if compared is None:
            return _HINT
        if self._mode == "together":
            words = ["together: speed cannot be compared"]
        elif jobs := len(self.session.running()):
            words = [f"in turn, beside {jobs} job{'s'[: jobs > 1]}: speed says little"]
        else:
            words = ["in turn: speed can be compared"]
        if self._blind:
            words.append("names hidden till the vote")
        if starts:
            at = min(starts.values())
            words.append(f"the same up to character {at:,}" if at else "differ from the start")
        elif compared.answered:
            words.append("the answers are the same")
        elif compared.busy:
            words.append("esc stops")
        return "  ·  ".join(words)

    def _vote_words(self) -> str:
        compared = self.compared
        if self._kept:
            return self._kept
        if compared is None or not compared.answered:
            return ""
        labels = " ".join(column.label.lower() for column in compared.columns)
        return f"which is best?  {labels}, or n for none"

    # The question

    def on_prompt_area_sent(self) -> None:
        prompt, compared = self.query_one("#prompt", PromptArea), self.compared
        if compared is None:
            self.notify("Choose the models first: esc, then o.", severity="warning")
        elif compared.busy:
            self.notify("One question at a time: esc stops this one.", severity="warning")
        elif asked := prompt.text.strip():
            self._save_reason()
            self._forget_vote()
            messages = [
                {"role": "system", "content": SYSTEM_PROMPT},
                {"role": "user", "content": asked},
            ]
            compared.ask(messages)
            prompt.select_all()  # so that the next question replaces it
            self.set_focus(self.query_one("#columns"))

    def action_write(self) -> None:
        self.set_focus(self.query_one("#prompt"))

    def action_insert_case(self) -> None:
        step = self.session.steps.get("dataset")
        if step is None or step.finished is None:
            self.notify("No evaluation cases yet: run dataset (2).", severity="warning")
        elif self._cases:
            self._insert(self._cases)
        else:
            path = step.finished.artifacts / "cases.jsonl"
            read_off_loop(self, lambda: read_cases(path), self._insert)

    def _insert(self, cases: list[dict[str, Any]]) -> None:
        self._cases = cases
        if cases:
            case = cases[self._next_case % len(cases)]
            self._next_case += 1
            prompt = self.query_one("#prompt", PromptArea)
            prompt.text = plain(user_turn(case["answers"]))
            self.set_focus(prompt)

    # The vote

    def action_vote(self, choice: str) -> None:
        from haruon_tui.chat.votes import Vote

        compared = self.compared
        if compared is None or not compared.answered:
            return
        if self.session.read_only:
            self._kept = "not kept: this program only watches (--read-only)"
            compared.show_names()
            self._changed = True
        elif self._choice is not None and self._voted_blind:
            self.notify("You have voted, and the names are shown.", severity="warning")
        else:
            self._keep(Vote(choice, "", compared.names_hidden))

    def _keep(self, vote: Any) -> None:
        """Write the vote; the names are shown once it is on the disk."""
        from haruon_tui.chat.votes import record

        compared = self.compared
        assert compared
        self._kept, self._changed = "keeping the vote …", True
        round_ = compared.round

        def done(wrong: str | None) -> None:
            self.app.call_later(self._is_kept, compared, round_, vote, wrong)

        self._votes.add(record(compared, vote), done)

    def _is_kept(self, compared: SideBySide, round_: str, vote: Any, wrong: str | None) -> None:
        if wrong is not None:
            self.notify(plain(wrong), severity="error", markup=False)
        if compared is not self.compared or compared.round != round_ or not self.is_mounted:
            return
        self._changed = True
        if wrong is not None:
            self._kept = "✗ the vote is NOT kept"
            return
        first = self._choice is None
        self._choice, self._voted_blind = vote.choice, vote.blind
        compared.show_names()
        best = [column for column in compared.columns if column.label == vote.choice]
        said = f"{vote.choice} is best: {one_line(best[0].name)}" if best else "none is better"
        why = ", with its reason" if vote.reason else ""
        self._kept = f"✓ {said}; kept{why}"
        if first:
            reason = self.query_one("#reason", Input)
            reason.display = True
            self.set_focus(reason)

    @on(Input.Submitted, "#reason")
    def _reason_done(self) -> None:
        self._save_reason()
        self.set_focus(self.query_one("#columns"))

    def _save_reason(self) -> None:
        from haruon_tui.chat.votes import Vote

        reason = self.query_one("#reason", Input)
        if self._choice is not None and reason.value.strip():
            self._keep(Vote(self._choice, reason.value.strip(), self._voted_blind))

    def _forget_vote(self) -> None:
        self._choice, self._voted_blind, self._kept = None, False, ""
        self.query_one("#reason", Input).value = ""
        self._changed = True

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        compared, hidden = self.compared, bool(self.compared and self.compared.names_hidden)
        if action == "vote":
            known = [column.label for column in compared.columns] if compared else []
            fits = not parameters or parameters[0] in ("", *known)
            return True if compared and compared.answered and fits else None
        if action == "edit_reason":
            return True if self._choice is not None else None
        if action == "show_names":
            return True if compared and compared.round and hidden and not compared.busy else None
        if action == "tally":
            return None if hidden else True  # it names models
        if action in ("change_mode", "hide_names"):
            return None if compared and compared.busy else True
        return super().check_action(action, parameters)

    def action_keys(self) -> None:
        from haruon_tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(first="side_by_side"))

    def action_back(self) -> None:
        if self.compared and self.compared.busy:
            self.compared.stop()
            self._changed = True
        elif isinstance(self.focused, TextArea | Input):
            self._save_reason()
            self.set_focus(self.query_one("#columns"))
        else:
            self._save_reason()
            self.dismiss()

    def action_change_mode(self) -> None:
        """The threads of a model are set when it is loaded: so they are loaded again."""
        self._mode = "together" if self._mode == "in turn" else "in turn"
        if self.compared:
            self._begin()
        self._changed = True

    def action_hide_names(self) -> None:
        self._blind = not self._blind
        if self.compared:
            self.compared.set_blind(self._blind)
            if self.compared.round:
                self.notify("From the next question on.")
        self._changed = True

    def action_show_names(self) -> None:
        if self.compared:
            self.compared.show_names()
            self._changed = True

    def action_edit_reason(self) -> None:
        self.set_focus(self.query_one("#reason"))

    def action_tally(self) -> None:
        from haruon_tui.screens.tally import TallyScreen

        def show(tally: Text) -> None:
            self.app.push_screen(TallyScreen(tally))

        folder = self.session.workspace.folder
        read_off_loop(self, lambda: tally_text(folder), show)

    def action_scroll_all(self, by: str, direction: int) -> None:
        """Scroll every column, so that the same place stays side by side."""
        for place in self.query(AnswerColumn):
            place.view.scroll_relative(y=direction * _SCROLL[by], animate=False)
