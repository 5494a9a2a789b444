"""Report mode: five answers, the report as the model writes it, its checks, and your verdict."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Input, Static, TextArea

from haruon_tui.chat.protocol import Done, Failed, Loaded, Prompt, Token
from haruon_tui.dataset.persona import TRAITS
from haruon_tui.screens.actions import MODES, bindings
from haruon_tui.screens.confirm import ConfirmScreen
from haruon_tui.screens.conversation import timings
from haruon_tui.screens.plain_text import one_line, plain, plain_text
from haruon_tui.screens.reading import read_off_loop
from haruon_tui.screens.report_text import checks_text, report_text, tally_text
from haruon_tui.screens.report_workers import ReportWorkers, Said, Watched, Written
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.chat.verdicts import Reported, Round, Verdict
    from haruon_tui.evaluation.cases import Case
    from haruon_tui.jobs.store import Run
    from haruon_tui.screens.session import Session
    from haruon_tui.workspace import Workspace

_DRAW_SECONDS = 0.1
_NOTE_SECONDS = 0.3
_SAMPLING = {"temperature", "top_p", "max_tokens", "seed"}
_SHOWN = {"good": "✓ good", "bad": "✗ bad", "unsure": "? unsure"}
_HINT = (
    "n   the next case of the evaluation set, written at once\n"
    "c   choose a case, or look at its report again\n"
    "o   the answers of a random golden report\n"
    "e   five answers of your own; ^g lets the model write\n\n"
    "y, x, u   your verdict: good, bad, unsure      w   a note\n"
    "f   the tally      ?   every key"
)


@dataclass(frozen=True)
class Prepared:
    """What report mode rests on. `round` is gone on with where there is one."""

    cases: list[Case]
    rules: str
    tokenizer: str | None
    round: Round
    context: int
    sampling: dict[str, Any]


class ReportModeScreen(SessionScreen):
    """One report at a time, by `model`."""

    CSS_PATH = stylesheet("report_mode")
    BINDINGS = bindings("report")
    AUTO_FOCUS = "#report"

    def __init__(self, session: Session, model: Path, cases_run: Run | None) -> None:
        super().__init__(next(mode for mode in MODES if mode.name == "chat"), session)
        self.processes = ReportWorkers(self.post_message)
        self.model = model
        self.prepared: Prepared | None = None
        self.case: Case | None = None
        self.text = ""
        self.writing = False
        self.checks: list[dict[str, Any]] = []
        self.findings: list[dict[str, Any]] = []
        self._cases_run = cases_run
        self._of_set = False
        self._number = 0
        self._done: Done | None = None
        self._words = "getting ready …"
        self._saved = ""
        self._note_timer: Timer | None = None
        self._note = self._shown_note = ""
        self._changed = True

    def compose_mode(self) -> ComposeResult:
        yield Static("", id="head", markup=False)
        with Horizontal(id="both"):
            with VerticalScroll(id="answers"):
                for trait in TRAITS:
                    yield Static(f"{trait.korean} {trait.english}", classes="label")
                    yield TextArea(
                        id=trait.key, compact=True, soft_wrap=True, tab_behavior="focus"
                    )
            with VerticalScroll(id="report"):
                yield Static(_HINT, id="text", markup=False)
            with VerticalScroll(id="checks", can_focus=False):
                yield Static("", id="marks", markup=False)
        with Vertical(id="said"):
            yield Static("", id="verdict", markup=False)
            yield Input(placeholder="a note; it is saved as you type", id="note", compact=True)

    def on_mount(self) -> None:
        self.processes.open_watch()
        self.set_interval(_DRAW_SECONDS, self._draw)
        self._prepare(anew=False)

    def on_unmount(self) -> None:
        self._save_note()
        self.processes.close()

    def _prepare(self, *, anew: bool) -> None:
        workspace, model, run = self.session.workspace, self.model, self._cases_run
        read_off_loop(self, lambda: prepare(workspace, model, run, anew=anew), self._take_prepared)

    def _take_prepared(self, prepared: Prepared) -> None:
        self.prepared = prepared
        there = len(self._written())
        self._words = f"goes on: {there} written before" if there else "ready"
        if not prepared.cases:
            self._words = "no evaluation set yet: run dataset (2); o and e work without"
        self._changed = True
        self.refresh_bindings()

    def _written(self) -> list[Case]:
        """The cases of the set that have a report in this round."""
        if self.prepared is None:
            return []
        reports = self.prepared.round.reports
        return [case for case in self.prepared.cases if case.id in reports]

    # The report

    def on_written(self, message: Written) -> None:
        event = message.event
        if message.number != self._number:
            return
        match event:
            case Loaded():
                self._words = f"loaded in {event.seconds:.1f} s"
            case Prompt():
                self._words = f"reading the answers, {event.done}/{event.total} tokens"
            case Token():
                self._words = "writing …  esc stops"
                self.text += event.text
            case Done():
                self.writing, self._done = False, event
                self._words = timings(event)
                self._to_the_top()
            case Failed():
                self.writing = False
                self._to_the_top()
                self._words = "✗ " + one_line("; ".join(filter(None, (event.what, event.do))))
        self._changed = True
        self.refresh_bindings()

    def _to_the_top(self) -> None:
        """From the end, which was followed. Text that is shorter than the pane stood at its foot,
        which is above the top as scrolling counts."""
        report = self.query_one("#report", VerticalScroll)
        report.anchor(False)
        report.scroll_home(animate=False, force=True)

    def on_watched(self, message: Watched) -> None:
        said = message.said
        if "ended" in said:
            again = "it starts again" if said["again"] else "o, c or n begins another"
            self.notify(
                f"The checks' process is gone: {plain(said['ended'])}; {again}.",
                severity="warning",
                markup=False,
            )
        elif "problem" in said:
            self.notify(plain(said["problem"]), severity="error", markup=False)
        elif said.get("number") == self._number:
            self.checks, self.findings = said["checks"], said["findings"]
            if said["score"] and self._done is not None:
                self._keep(said["score"], self._done)
                self._done = None
            self._changed = True

    def _keep(self, scored: dict[str, Any], done: Done) -> None:
        from haruon_tui.chat.verdicts import Reported, score_of

        assert self.case
        tokens = done.generated_tokens
        one = Reported(self.case, self._of_set, self.text, done.reason, tokens, score_of(scored))
        self._save("report", lambda kept: kept.add_report(one))

    def _save(self, what: str, write: Any) -> None:
        """Write to the round, off the loop; it says "saved" once it is on the disk."""
        prepared = self.prepared
        if prepared is None:
            return
        if self.session.read_only:
            self._saved, self._changed = "not saved: this program only watches (--read-only)", True
            return
        number = self._number
        self._saved = "saving …"

        def work() -> None:
            try:
                write(prepared.round)
            except Exception:
                self.app.call_later(self._is_saved, number, f"✗ the {what} is NOT saved")
                raise
            self.app.call_later(self._is_saved, number, f"{what} saved")

        self.processes.do(work)

    def _is_saved(self, number: int, words: str) -> None:
        if number == self._number:
            self._saved, self._changed = words, True
            if self.is_mounted:
                self.refresh_bindings()

    def _reported(self) -> Reported | None:
        """What is kept of the report that is shown."""
        if self.prepared is None or self.case is None or self.writing:
            return None
        return self.prepared.round.reports.get(self.case.id)

    # Drawing

    def _draw(self) -> None:
        if not self._changed or not self.is_mounted or not self.is_current:
            return
        self._changed = False
        self.query_one("#head", Static).update(self._head())
        empty = self.case is None
        self.set_class(empty, "-empty")
        shown = plain_text(_HINT) if empty else None
        self.query_one("#text", Static).update(
            shown or report_text(self.text, self.findings, writing=self.writing)
        )
        self.query_one("#marks", Static).update(checks_text(self.checks, len(self.text)))
        kept = self._reported()
        said = _SHOWN[kept.verdict] if kept and kept.verdict else "none yet"
        self.query_one("#verdict", Static).update(
            "" if empty else f"verdict: {said}   y good  x bad  u unsure  w note   {self._saved}"
        )

    def _head(self) -> str:
        words = [one_line(self.model.name.removesuffix(".gguf").rpartition(".")[2])]
        if self.case is not None and self.prepared is not None:
            named = one_line(self.case.id)
            ids = [case.id for case in self.prepared.cases]
            if self._of_set and self.case.id in ids:
                named = f"case {ids.index(self.case.id) + 1}/{len(ids)} {named}"
            words.append(named)
        return "  ".join([*words, self._words])

    # Cases

    def _show_answers(self, answers: dict[str, str]) -> None:
        for trait in TRAITS:
            self.query_one(f"#{trait.key}", TextArea).text = plain(answers[trait.key])

    def _answers(self) -> dict[str, str]:
        """The five fields; each answer is one line, as the prompt has it."""
        fields = ((t.key, self.query_one(f"#{t.key}", TextArea).text) for t in TRAITS)
        return {key: " ".join(text.split()) for key, text in fields}

    def _is_typed(self) -> bool:
        """Whether the fields hold answers that no case has and no report was written from."""
        answers = self._answers()
        if not any(answers.values()):
            return False
        return self.case is None or answers != _as_typed(self.case.answers)

    def _with_leave(self, then: Any) -> None:
        """Do it, after a yes where typed answers would be lost."""
        if self.writing:
            self.notify("One report at a time: esc stops this one.", severity="warning")
        elif self._is_typed():
            question = ConfirmScreen(
                "Replace the five answers?", "What you typed is in no report yet.", "Replace"
            )
            self.app.push_screen(question, lambda yes: then() if yes else None)
        else:
            then()

    def _open_case(self, case: Case, *, of_set: bool) -> None:
        """Show a case, with its report where this round has one."""
        self._save_note()
        self._begin(case, of_set=of_set)
        self._show_answers(case.answers)
        self.set_class(False, "-typing")
        self.set_focus(self.query_one("#report"))
        kept = self._reported()
        self._show_note(kept.note if kept else "")
        if kept is not None:
            self.text, self._words = kept.text, "written before"
            self.processes.review(self._told(), kept.text, kept.reason, kept.tokens)

    def _begin(self, case: Case, *, of_set: bool) -> None:
        self._number += 1
        self.case, self._of_set = case, of_set
        self.text, self.checks, self.findings, self._done = "", [], [], None
        self._words, self._saved, self._changed = "", "", True
        self.refresh_bindings()

    def _told(self) -> Said:
        assert self.prepared
        assert self.case
        return {
            "do": "begin",
            "number": self._number,
            "rules": self.prepared.rules,
            "tokenizer": self.prepared.tokenizer,
            "case": self.case.model_dump(),
        }

    def _write_report(self, case: Case, *, of_set: bool) -> None:
        assert self.prepared
        self._begin(case, of_set=of_set)
        self._show_note("")
        self.set_class(False, "-typing")
        self.writing, self._words = True, "asked …"
        report = self.query_one("#report", VerticalScroll)
        self.set_focus(report)
        report.anchor()
        self.processes.generate(
            self._told(),
            self.model,
            self.prepared.context,
            self.prepared.sampling,
            case.messages,
        )
        self.refresh_bindings()

    # Verdict and note

    def _show_note(self, note: str) -> None:
        self._note = self._shown_note = plain(note)
        self.query_one("#note", Input).value = self._note

    @on(Input.Changed, "#note")
    def _note_typed(self, event: Input.Changed) -> None:
        self._note = event.value
        if self._note_timer:
            self._note_timer.stop()
        self._note_timer = self.set_timer(_NOTE_SECONDS, self._save_note)

    @on(Input.Submitted, "#note")
    def _note_done(self) -> None:
        self._save_note()
        self.set_focus(self.query_one("#report"))

    def _save_note(self) -> None:
        if self._note_timer:
            self._note_timer.stop()
            self._note_timer = None
        note, kept = self._note, self._reported()
        if kept is not None and note != self._shown_note:
            case, self._shown_note = kept.case.id, note
            self._save("note", lambda round_: round_.note(case, note))
            self._changed = True

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        typing = isinstance(self.focused, TextArea | Input)
        if action in ("say", "edit_note"):
            return True if self._reported() and not typing else None
        if action in ("next_case", "choose", "tally"):
            return True if self.prepared and self.prepared.cases and not typing else None
        if action in ("generate", "golden", "edit", "new_round"):
            return True if self.prepared and not self.writing else None
        return super().check_action(action, parameters)

    def action_keys(self) -> None:
        from haruon_tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(first="report"))

    def action_back(self) -> None:
        if self.writing:
            self.processes.stop()
        elif isinstance(self.focused, TextArea | Input):
            self._save_note()
            self.set_class(False, "-typing")
            self.set_focus(self.query_one("#report"))
        elif self._is_typed():
            question = ConfirmScreen(
                "Leave report mode?", "What you typed is in no report yet.", "Leave"
            )

            def answered(yes: bool | None) -> None:
                if yes:
                    self.dismiss()

            self.app.push_screen(question, answered)
        else:
            self.dismiss()

    def action_edit(self) -> None:
        self.set_class(True, "-typing")
        self.set_focus(self.query_one(f"#{TRAITS[0].key}"))

    def action_edit_note(self) -> None:
        self.set_focus(self.query_one("#note"))

    def action_generate(self) -> None:
        answers = self._answers()
        if empty := [trait for trait in TRAITS if not any(map(str.isalnum, answers[trait.key]))]:
            named = ", ".join(trait.korean for trait in empty)
            self.notify(f"Still without an answer: {named}.", severity="warning")
            self.action_edit()
            self.set_focus(self.query_one(f"#{empty[0].key}"))
            return
        case, of_set = self.case, self._of_set
        if case is None or answers != _as_typed(case.answers):
            case, of_set = own_case(answers), False
        kept = self.prepared.round.reports.get(case.id) if self.prepared else None
        if kept is None or not (kept.verdict or kept.note):
            self._write_report(case, of_set=of_set)
            return
        question = ConfirmScreen(
            "Write this report again?", "Its verdict and note go with the old one.", "Write"
        )
        self.app.push_screen(
            question, lambda yes: self._write_report(case, of_set=of_set) if yes else None
        )

    def action_next_case(self) -> None:
        assert self.prepared
        cases, reports = self.prepared.cases, self.prepared.round.reports
        ids = [case.id for case in cases]
        at = ids.index(self.case.id) + 1 if self.case and self._of_set else 0
        if left := [case for case in [*cases[at:], *cases[:at]] if case.id not in reports]:
            self._with_leave(lambda: self._next(left[0]))
        elif not self.writing:
            self.action_tally()

    def _next(self, case: Case) -> None:
        self._open_case(case, of_set=True)
        self._write_report(case, of_set=True)

    def action_choose(self) -> None:
        from haruon_tui.screens.pick import PickScreen

        assert self.prepared
        by_id = {case.id: case for case in self.prepared.cases}
        reports = self.prepared.round.reports
        choices = []
        for case in self.prepared.cases:
            kept = reports.get(case.id)
            state = "not written" if kept is None else _SHOWN.get(kept.verdict or "", "written")
            choices.append((case.id, f"{case.id}  {case.group}  {state}"))

        def answered(id: str | None) -> None:
            if id is not None:
                self._with_leave(lambda: self._open_case(by_id[id], of_set=True))

        self.app.push_screen(PickScreen("Which case?", choices, "^g writes it."), answered)

    def action_golden(self) -> None:
        self._with_leave(
            lambda: read_off_loop(self, golden_case, lambda c: self._open_case(c, of_set=False))
        )

    def action_say(self, verdict: Verdict) -> None:
        if kept := self._reported():
            case = kept.case.id
            said = None if kept.verdict == verdict else verdict
            self._save("verdict", lambda round_: round_.say(case, said))
            self._changed = True

    def action_tally(self) -> None:
        from haruon_tui.screens.tally import TallyScreen

        if self.prepared:
            tally = self.prepared.round.tally(self.prepared.cases)
            shown = tally_text(tally, len(self.prepared.cases), self.model.name)
            self.app.push_screen(TallyScreen(shown))

    def action_new_round(self) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._save_note()
                self.case, self.text, self.checks, self.findings = None, "", [], []
                self._number += 1
                self._prepare(anew=True)

        there = len(self._written())
        question = ConfirmScreen(
            "Begin a new round?",
            f"The {there} reports of this one stay on the disk, but are not counted any more.",
            "Begin",
        )
        self.app.push_screen(question, answered)


def prepare(workspace: Workspace, model: Path, run: Run | None, *, anew: bool) -> Prepared:
    """Read what report mode needs: off the event loop. Raises HaruonError."""
    from haruon_tui.chat.verdicts import About, Round
    from haruon_tui.evaluation.cases import read_cases

    settings = workspace.settings
    cases = read_cases(run.artifacts / "cases.jsonl", settings.evaluate.limit) if run else []
    about = About(model.name, str(model), settings.dataset.rules, run.id if run else "")
    found = None if anew else Round.last(workspace.folder, about)
    tokenizers = sorted(workspace.runs.glob("*-model-*/artifacts/model/tokenizer.json"))
    return Prepared(
        cases,
        settings.dataset.rules,
        str(tokenizers[-1]) if tokenizers else None,
        found or Round.begin(workspace.folder, about),
        settings.chat.context,
        settings.chat.model_dump(include=_SAMPLING),
    )


def own_case(answers: dict[str, str]) -> Case:
    """Answers of one's own as a case: without expected levels."""
    from haruon_tui.evaluation.cases import Case

    mark = hashlib.sha256("\n".join(answers.values()).encode("utf-8", "replace")).hexdigest()[:8]
    return Case(id=f"own-{mark}", group="own answers", answers=answers, levels={})


def golden_case() -> Case:
    """The answers and levels of a random golden report."""
    from haruon_tui.dataset import golden, records
    from haruon_tui.evaluation.cases import Case

    lines = records.read(golden.reports_file())
    record = random.choice([line.record for line in lines if isinstance(line, records.Line)])
    given = record["metadata"]
    answers = records.answers(record) or {}
    return Case(id=given["id"], group="golden reports", answers=answers, levels=given["levels"])


def _as_typed(answers: dict[str, str]) -> dict[str, str]:
    """Answers as the fields give them back."""
    return {key: " ".join(plain(text).split()) for key, text in answers.items()}
