"""The one table of modes and keys. Bindings, help and command palette are made from it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textual.binding import Binding

if TYPE_CHECKING:
    from haruon_tui.screens.session import Session
    from haruon_tui.screens.session_screen import SessionScreen


@dataclass(frozen=True)
class Mode:
    """A top-level screen. `screen` is module:class, imported when it is first opened."""

    name: str
    key: str
    title: str
    stages: tuple[str, ...]
    screen: str
    help: str

    def open(self, session: Session) -> SessionScreen:
        """Import the screen's module and make the screen."""
        module, name = self.screen.split(":")
        made: SessionScreen = getattr(importlib.import_module(module), name)(self, session)
        return made


MODES: tuple[Mode, ...] = (
    Mode(
        "hardware",
        "1",
        "Hardware",
        ("hardware",),
        "haruon_tui.screens.hardware:HardwareScreen",
        "what this machine can do",
    ),
    Mode(
        "dataset",
        "2",
        "Dataset",
        ("dataset",),
        "haruon_tui.screens.dataset:DatasetScreen",
        "build and check the examples",
    ),
    Mode(
        "model",
        "3",
        "Model",
        ("model",),
        "haruon_tui.screens.model:ModelScreen",
        "get the base model and hear it answer",
    ),
    Mode(
        "training",
        "4",
        "Train",
        ("train",),
        "haruon_tui.screens.training:TrainingScreen",
        "fine-tune with LoRA",
    ),
    Mode(
        "evaluate",
        "5",
        "Evaluate",
        ("merge", "evaluate"),
        "haruon_tui.screens.evaluate:EvaluateScreen",
        "merge the adapter, compare base and tuned",
    ),
    Mode(
        "gguf",
        "6",
        "GGUF",
        ("convert", "quantize", "compare"),
        "haruon_tui.screens.gguf:GgufScreen",
        "convert, quantize and compare",
    ),
    Mode(
        "chat",
        "7",
        "Chat",
        ("chat",),
        "haruon_tui.screens.chat:ChatScreen",
        "ask the quantized model",
    ),
    Mode(
        "export",
        "8",
        "Export",
        ("export",),
        "haruon_tui.screens.export:ExportScreen",
        "a folder for the team of the app",
    ),
    Mode(
        "jobs",
        "9",
        "Jobs",
        (),
        "haruon_tui.screens.jobs:JobsScreen",
        "every run of this workspace",
    ),
)

Scope = Literal[
    "everywhere",
    "job",
    "stage",
    "hardware",
    "dataset",
    "model",
    "training",
    "evaluate",
    "gguf",
    "chat",
    "export",
    "jobs",
    "browser",
    "generation",
    "report",
    "side_by_side",
]
"""Where a key works: everywhere; on screens that show a job (the stage screens and Jobs); on the
stage screens; on the one screen of that mode; in the dataset browser; on the screen of the
generation; in report mode; or with models side by side."""

SCOPE_TITLES: dict[str, str] = {
    "everywhere": "Everywhere",
    "job": "The job shown",
    "stage": "Stage screens",
    **{mode.name: f"{mode.title} screen" for mode in MODES},
    "browser": "Dataset browser",
    "generation": "Generation of examples",
    "report": "Report mode of the chat",
    "side_by_side": "Models side by side",
}


@dataclass(frozen=True)
class Action:
    """A key and what it does. `action` is the name of an action method of the screen (of the app
    for the scope "everywhere"); `footer` is its short name there, empty to leave it out."""

    scope: Scope
    key: str
    action: str
    title: str
    footer: str = ""
    display: str = ""

    @property
    def key_name(self) -> str:
        return self.display or self.key


ACTIONS: tuple[Action, ...] = (
    *(
        Action("everywhere", mode.key, f"go('{mode.name}')", f"Go to {mode.title}: {mode.help}")
        for mode in MODES
    ),
    Action("everywhere", "R", "run_pipeline", "Run every stage that is not done", "Run all"),
    Action("everywhere", "m", "load", "Monitor the machine and the jobs", "Load"),
    Action("everywhere", "t", "next_theme", "Change the theme: dark, light, high contrast"),
    Action("everywhere", "question_mark", "help", "Show the keys", "Help", "?"),
    Action("everywhere", "q", "quit", "Quit; jobs go on", "Quit"),
    Action("everywhere", "ctrl+q", "quit", "Quit; jobs go on", display="^q"),
    Action("job", "s", "stop", "Stop the job; it can be resumed", "Stop"),
    Action("job", "u", "resume", "Resume a stopped, failed or crashed job", "Resume"),
    Action("job", "l", "log", "Show the whole log", "Log"),
    Action("stage", "r", "run", "Run the stage; finished work is reused", "Run"),
    Action("stage", "f", "run_again", "Run the stage again though it is done"),
    Action("stage", "left_square_bracket", "pick(-1)", "Choose the stage before", display="["),
    Action("stage", "right_square_bracket", "pick(1)", "Choose the stage after", display="]"),
    Action("stage", "A", "advice", "What the runs say should be changed"),
    Action("hardware", "e", "memory", "Estimate the memory of a training", "Memory"),
    Action("training", "e", "memory", "Estimate the memory of a training", "Memory"),
    Action("training", "p", "recipe", "Change the recipe: every field, its effect", "Recipe"),
    Action("training", "b", "labels", "What is learned of the first record", "Labels"),
    Action("training", "v", "change_view", "Curves, sample answers, or runs compared", "View"),
    Action("training", "o", "choose_runs", "Choose earlier runs to compare with", "Compare"),
    Action("training", "x", "save_chart", "Save the curves: SVG, PNG and CSV", "Save"),
    Action("training", "pagedown", "page(1)", "Scroll down", display="PgDn"),
    Action("training", "pageup", "page(-1)", "Scroll up", display="PgUp"),
    Action("training", "c", "next_curve", "Next curve: rate, norm, tokens/s, MFU", "Curve"),
    Action("training", "plus", "zoom(0.5)", "Zoom in, around the cursor", "Zoom", "+"),
    Action("training", "equals_sign", "zoom(0.5)", "Zoom in", display="="),
    Action("training", "minus", "zoom(2.0)", "Zoom out", display="-"),
    Action("training", "left", "cursor(-1)", "Cursor to the left: the values at a step"),
    Action("training", "right", "cursor(1)", "Cursor to the right"),
    Action("training", "shift+left", "cursor(-10)", "Cursor ten cells to the left"),
    Action("training", "shift+right", "cursor(10)", "Cursor ten cells to the right"),
    Action("training", "escape", "whole", "Take the cursor away, then the zoom", display="esc"),
    Action("training", "g", "log_scale", "Logarithmic or linear scale", "Scale"),
    Action("training", "w", "smoothing", "Another smoothing, or none"),
    Action("hardware", "c", "check", "Check the machine again", "Check"),
    Action("hardware", "a", "attention", "Problems only, or all rows", "Problems"),
    Action("hardware", "o", "order", "The worst first, or by topic"),
    Action("hardware", "y", "copy", "Copy the command or key to do; again for the next"),
    Action("hardware", "b", "measure", "Measure devices, memory and disk, as a job", "Measure"),
    Action("hardware", "v", "change_view", "Change between checks and measurements", "View"),
    Action("hardware", "g", "choose_gpus", "Choose the GPUs that jobs may use", "GPUs"),
    Action("dataset", "b", "browse", "Browse a dataset: search, filter, edit", "Browse"),
    Action("dataset", "enter", "browse_built", "Browse the examples that were built"),
    Action("dataset", "g", "generate", "Generate examples with a language model", "Generate"),
    Action("generation", "escape", "leave", "Back to the dataset", "Back", "esc"),
    Action("generation", "r", "generate", "Ask for the examples that are missing", "Generate"),
    Action("generation", "b", "browse_accepted", "Browse the accepted examples", "Browse"),
    Action(
        "model", "v", "change_view", "Change between the model and the choice of base", "Choice"
    ),
    Action("model", "left", "mark(-1)", "Mark the base at the left"),
    Action("model", "right", "mark(1)", "Mark the base at the right"),
    Action("model", "c", "choose", "Make the marked base this workspace's", "Choose"),
    Action("model", "pagedown", "page(1)", "Scroll down", display="PgDn"),
    Action("model", "pageup", "page(-1)", "Scroll up", display="PgUp"),
    Action("model", "p", "probe", "Let the model speak again", "Speak"),
    Action("evaluate", "v", "change_view", "Figures, reports, levels, or earlier runs", "View"),
    Action("evaluate", "o", "other_model(1)", "Another model's reports, at the right", "Model"),
    Action("evaluate", "O", "other_model(0)", "Another model's reports, at the left"),
    Action("evaluate", "space", "mark", "Compare the other runs with this one", "Mark"),
    Action("evaluate", "e", "evaluate_models", "Evaluate a GGUF, the adapter, or all", "Evaluate"),
    Action("evaluate", "w", "write_out", "Write the report as one HTML file", "Write"),
    Action("gguf", "v", "change_view", "Table, loss by size, or the phone's limits", "View"),
    Action("gguf", "o", "order", "Order by a column; the same again turns it", "Order"),
    Action("gguf", "c", "choose_columns", "Choose the columns; says what each means", "Columns"),
    Action("gguf", "space", "mark", "Mark a file for the comparison of reports", "Mark"),
    Action("gguf", "d", "side_by_side", "Two files' reports from where they differ", "Reports"),
    Action("gguf", "p", "choose_phone", "Choose the phone whose limits count", "Phone"),
    Action("gguf", "w", "write_out", "Write the table as CSV, Markdown or JSON", "Write"),
    Action("chat", "i", "write", "Write a question; Enter sends it", "Write"),
    Action("chat", "enter", "write", "Write a question"),
    Action(
        "chat", "escape", "stop_answer", "Stop the answer, else leave the input", display="esc"
    ),
    Action("chat", "ctrl+t", "insert_case", "Put the next evaluation case in", "Case", "^t"),
    Action("chat", "ctrl+n", "new_conversation", "Start a new conversation", display="^n"),
    Action("chat", "ctrl+o", "choose_model", "Choose the model", display="^o"),
    Action("chat", "ctrl+r", "report_mode", "Check reports one by one", "Reports", "^r"),
    Action("chat", "ctrl+s", "side_by_side", "Several models side by side", "Beside", "^s"),
    Action("chat", "k", "select(-1)", "Choose the turn before"),
    Action("chat", "j", "select(1)", "Choose the turn after"),
    Action("chat", "g", "again", "Ask the same again: another answer, beside it", "Again"),
    Action("chat", "e", "edit", "Change the question and ask it, beside the first", "Edit"),
    Action("chat", "b", "branch_here", "Talk on from this turn", "Branch"),
    Action("chat", "comma", "other_branch(-1)", "The branch before, at this turn", display=","),
    Action("chat", "full_stop", "other_branch(1)", "The branch after, at this turn", display="."),
    Action("chat", "o", "sessions", "Earlier conversations: search, go on", "Earlier"),
    Action("chat", "p", "sampling", "Sampling and loading: every setting, presets", "Sampling"),
    Action("chat", "P", "system_prompt", "Change the system prompt"),
    Action("chat", "v", "raw_prompt", "The prompt as the template writes it"),
    Action("chat", "w", "as_written", "Answers as Markdown, or as they were written"),
    Action("chat", "y", "copy", "Copy the answer", "Copy"),
    Action("chat", "Y", "copy_code", "Copy the last block of code"),
    Action("chat", "d", "keep_example", "Keep the answer as a training example", "Data"),
    Action("chat", "x", "export", "Write the conversation: Markdown and JSONL", "Export"),
    Action("chat", "U", "unload", "Unload the model: its memory is free"),
    Action("side_by_side", "question_mark", "keys", "Show the keys, these first", "Keys", "?"),
    Action("side_by_side", "escape", "back", "Stop the answers, else leave", "Back", "esc"),
    Action("side_by_side", "o", "choose_models", "Choose the models", "Models"),
    Action("side_by_side", "i", "write", "Write the question for all of them", "Write"),
    Action("side_by_side", "enter", "write", "Write the question"),
    Action("side_by_side", "ctrl+t", "insert_case", "Ask an evaluation case", "Case", "^t"),
    Action("side_by_side", "v", "change_mode", "One after another, or together", "Mode"),
    Action("side_by_side", "h", "hide_names", "Hide the names till the vote, or not", "Hide"),
    Action("side_by_side", "a", "vote('A')", "Vote: A is best"),
    Action("side_by_side", "b", "vote('B')", "Vote: B is best"),
    Action("side_by_side", "c", "vote('C')", "Vote: C is best"),
    Action("side_by_side", "n", "vote('')", "Vote: none is better"),
    Action("side_by_side", "w", "edit_reason", "Write why; Enter keeps it", "Why"),
    Action("side_by_side", "x", "show_names", "Show the names without a vote"),
    Action("side_by_side", "f", "tally", "The votes so far, by model", "Votes"),
    Action("side_by_side", "down", "scroll_all('line', 1)", "Scroll all answers", display="↓"),
    Action("side_by_side", "up", "scroll_all('line', -1)", "Scroll all answers up", display="↑"),
    Action("side_by_side", "pagedown", "scroll_all('page', 1)", "A page down", display="PgDn"),
    Action("side_by_side", "pageup", "scroll_all('page', -1)", "A page up", display="PgUp"),
    Action("report", "question_mark", "keys", "Show the keys, these first", "Keys", "?"),
    Action("report", "escape", "back", "Stop the answer, else leave", "Back", "esc"),
    Action("report", "n", "next_case", "Write the next case of the set", "Next"),
    Action("report", "c", "choose", "Choose a case, or see its report again", "Case"),
    Action("report", "o", "golden", "Answers of a random golden report", "Golden"),
    Action("report", "e", "edit", "Write or change the five answers", "Answers"),
    Action("report", "g", "generate", "Let the model write from the answers"),
    Action("report", "ctrl+g", "generate", "Let the model write", "Write", "^g"),
    Action("report", "y", "say('good')", "Verdict: good; again takes it back"),
    Action("report", "x", "say('bad')", "Verdict: bad"),
    Action("report", "u", "say('unsure')", "Verdict: unsure"),
    Action("report", "w", "edit_note", "Write a note; it is saved as you type"),
    Action("report", "f", "tally", "The tally of the set", "Tally"),
    Action("report", "N", "new_round", "Begin a new round over the set"),
    Action("export", "o", "choose_gguf", "Choose the GGUF; else the recommended one", "GGUF"),
    Action("export", "w", "choose_place", "Choose the folder to write", "Where"),
    Action("export", "c", "card", "Write the model card to export/MODEL_CARD.md", "Card"),
    Action("export", "y", "copy_lines", "The lines that bring the files to a laptop", "Copy"),
    Action("export", "p", "push", "Push the GGUF files and the card to the Hub", "Push"),
    Action("export", "pagedown", "page(1)", "Scroll down", display="PgDn"),
    Action("export", "pageup", "page(-1)", "Scroll up", display="PgUp"),
    Action("jobs", "x", "remove", "Remove the run and its files", "Remove"),
    Action("jobs", "slash", "filter", "Filter by id, stage or state", "Filter", "/"),
    Action("jobs", "escape", "clear_filter", "Take the filter away"),
    Action("browser", "question_mark", "keys", "Show the keys, the browser's first", "Keys", "?"),
    Action("browser", "escape", "back", "Stop or end the search, else leave", "Back", "esc"),
    Action("browser", "slash", "search", "Search for a text in all values", "Find", "/"),
    Action("browser", "r", "search_regex", "Search with a regular expression"),
    Action("browser", "n", "next_hit(1)", "Next record with what was searched"),
    Action("browser", "N", "next_hit(-1)", "The record before with what was searched"),
    Action("browser", "f", "filter", "Filter: verdict, rule, level, decision", "Filter"),
    Action("browser", "F", "clear_filter", "Take every filter away"),
    Action("browser", "s", "sort", "Sort by a column; again for the other direction", "Sort"),
    Action("browser", "g", "go_to", "Go to a line by its number"),
    Action("browser", "e", "edit", "Change the record", "Edit"),
    Action("browser", "ctrl+z", "undo", "Take the last change back", display="^z"),
    Action("browser", "ctrl+y", "redo", "Make it again", display="^y"),
    Action("browser", "a", "decide('accept')", "Accept the record", "Accept"),
    Action("browser", "x", "reject", "Reject the record, with a reason", "Reject"),
    Action("browser", "u", "decide('none')", "Neither accept nor reject it"),
    Action("browser", "w", "write_out", "Write out with changes, without rejects", "Write"),
    Action("browser", "h", "histograms", "Histograms of tokens and levels", "Counts"),
    Action("browser", "c", "check_all", "Check every record, or only those shown"),
    Action("browser", "o", "open", "Open another file", "Open"),
    Action("browser", "i", "next_finding", "Next finding in the record"),
    Action("browser", "J", "scroll_record(5)", "Scroll the record down"),
    Action("browser", "K", "scroll_record(-5)", "Scroll the record up"),
)


def actions(*scopes: Scope) -> list[Action]:
    """The rows of these scopes, in the order of `scopes`."""
    return [action for scope in scopes for action in ACTIONS if action.scope == scope]


def bindings(*scopes: Scope) -> list[Any]:
    """The BINDINGS of a screen or the app."""
    return [
        Binding(
            action.key,
            action.action,
            action.footer or action.title,
            show=bool(action.footer),
            key_display=action.display or None,
            priority=action.key.startswith("ctrl+"),
        )
        for action in actions(*scopes)
    ]


def mode_of(stage: str) -> Mode | None:
    """The mode whose screen shows `stage`; None for the pipeline."""
    return next((mode for mode in MODES if stage in mode.stages), None)
