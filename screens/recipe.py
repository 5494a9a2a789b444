"""The recipe as a form: every field of [train] with its meaning, range and effect on memory."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware.architecture import architecture_of
from haruon_tui.hardware.memory_estimate import estimate
from haruon_tui.launching.command import shown as shown_command
from haruon_tui.screens.pick import PickScreen
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.prompt import PromptScreen
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.screens.widgets.memory_bar import gib
from haruon_tui.styles import stylesheet
from haruon_tui.training import recipe_fields
from haruon_tui.training.ranks import commands, share
from haruon_tui.training.recipe_fields import shown

if TYPE_CHECKING:
    from haruon_tui.hardware.memory_estimate import DeviceKind
    from haruon_tui.screens.session import Session

_KEY_WIDTH = 24
_VALUE_WIDTH = 28


class RecipeScreen(Screen[None]):
    """Opened by `p` on the Train screen. Changes are a draft until `w` writes them into
    haruon.toml; a value that is not allowed never becomes part of it."""

    CSS_PATH = stylesheet("recipe")
    BINDINGS: ClassVar = [
        Binding("escape", "leave", "Back"),
        Binding("enter", "edit", "Change"),
        Binding("w", "write", "Write"),
        Binding("z", "undo", "Undo this field"),
        Binding("y", "copy", "Copy command"),
    ]
    covers = True

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        settings = session.workspace.settings
        self._profile: str = settings.profile
        self._where = "on Slurm" if "train" in settings.slurm.stages else ""
        self._saved = settings.train
        self._draft = settings.train
        self._fields = recipe_fields.fields(self._draft.engine)
        self._changes: dict[str, Any] = {}
        self._architecture = architecture_of(settings)

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        yield OptionList(id="fields", markup=False)
        yield Static("", id="about", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._draw()
        self.query_one("#fields", OptionList).highlighted = 0
        self.query_one("#fields", OptionList).focus()

    # What is shown

    def _draw(self) -> None:
        rows = self.query_one("#fields", OptionList)
        at = rows.highlighted
        rows.clear_options()
        rows.add_options([Option(self._row(field.name)) for field in self._fields])
        rows.highlighted = at
        self.query_one("#title", Static).update(self._title())

    def _title(self) -> str:
        changed = f"{len(self._changed())} changed, w writes them" if self._changed() else ""
        needs = ""
        if self._architecture is not None:
            total = estimate(self._architecture, self._draft, device=self._device()).total
            needs = f"takes about {gib(total)}"
            if (count := self._draft.processes * self._draft.machines) > 1:
                needs += f" in each of {count} processes"
        return "  ".join(
            filter(None, ["Recipe of the next training", self._where, needs, changed])
        )

    def _row(self, name: str) -> Text:
        value = getattr(self._draft, name)
        changed = value != getattr(self._saved, name)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("● " if changed else "  ")
        text.append(f"{name:<{_KEY_WIDTH}}")
        text.append(f"{one_line(shown(value)):<{_VALUE_WIDTH}}", style="bold" if changed else "")
        own = recipe_fields.recipe_value(self._profile, self._draft.recipe, name)
        if name != "recipe" and value != own:
            text.append(f"  {self._draft.recipe}: {one_line(shown(own))}", style="dim")
        return text

    @on(OptionList.OptionHighlighted)
    def _explain(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one("#about", Static).update(self._about(self._fields[event.option_index]))

    def _about(self, field: recipe_fields.RecipeField) -> Text:
        text = Text(f"{field.name}: ", style="bold")
        text.append(f"{plain(field.meaning)}\n", style="not bold")
        text.append(f"allowed: {field.allowed}\n", style="not bold")
        if field.name in recipe_fields.SHARED:
            text.append(f"a step: {share(self._draft).words} examples\n", style="not bold")
            if found := self._commands():
                text.append(f"runs: {one_line(found[0])}  (y copies)\n", style="not bold")
        if self._architecture is None:
            text.append("memory: the base's sizes are not known yet", style="dim not bold")
            return text
        effect = recipe_fields.memory_effect(
            field, self._draft, self._architecture, self._device()
        )
        words = ", ".join(f"{value} {gib(size)}" for value, size in effect)
        text.append(f"memory: {words or 'no effect'}", style="not bold")
        return text

    def _commands(self) -> list[str]:
        """What starts the processes of the draft on each machine, once it is written."""
        workspace = self._session.workspace.folder
        return [shown_command(command) for command in commands(self._draft, workspace)]

    def _device(self) -> DeviceKind:
        """A GPU unless the base is the embedded one, which every machine trains on its CPU."""
        assert self._architecture is not None
        return "cpu" if self._architecture.name == "tiny" else "cuda"

    # Keys

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_edit()

    def action_edit(self) -> None:
        at = self.query_one("#fields", OptionList).highlighted
        if at is None:
            return
        field = self._fields[at]

        def answered(text: str | None) -> None:
            if text is not None:
                self._take(field, text)

        if field.choices:
            choices = [(shown(choice), shown(choice)) for choice in field.choices]
            self.app.push_screen(PickScreen(field.name, choices, field.meaning), answered)
            return
        question = f"{field.name}: {field.meaning}"
        now = shown(getattr(self._draft, field.name))
        self.app.push_screen(PromptScreen(question, field.allowed, now), answered)

    def _take(self, field: recipe_fields.RecipeField, text: str) -> None:
        try:
            value = recipe_fields.parse(field, text)
            changes = {**self._changes, field.name: value}
            draft = recipe_fields.with_changes(self._profile, self._written(), changes)
        except ConfigurationError as error:
            self.notify(plain(str(error)), severity="error", markup=False)
            return
        self._changes, self._draft = changes, draft
        self._take_engine()

    def _take_engine(self) -> None:
        """Offer the fields that the engine has, and stay at the one that was shown."""
        rows = self.query_one("#fields", OptionList)
        name = self._fields[rows.highlighted or 0].name
        self._fields = recipe_fields.fields(self._draft.engine)
        self._draw()
        names = [field.name for field in self._fields]
        rows.highlighted = names.index(name) if name in names else 0

    def action_undo(self) -> None:
        at = self.query_one("#fields", OptionList).highlighted
        if at is None or self._fields[at].name not in self._changes:
            return
        changes = {**self._changes}
        del changes[self._fields[at].name]
        self._changes = changes
        self._draft = recipe_fields.with_changes(self._profile, self._written(), changes)
        self._take_engine()

    def action_copy(self) -> None:
        """Put the commands that start the processes on the clipboard, one a line."""
        if not (found := self._commands()):
            self.notify("one process trains alone: it needs no command", markup=False)
            return
        self.app.copy_to_clipboard("\n".join(found))
        machines = "one for each machine" if len(found) > 1 else "for a shell"
        first = " after w has written the changes" if self._changed() else ""
        self.notify(f"copied, {machines}{first}", markup=False)

    def action_write(self) -> None:
        if not self._changes:
            self.notify("nothing is changed", markup=False)
            return
        self._session.set_keys({f"train.{name}": value for name, value in self._changes.items()})
        if not self._session.read_only:
            self.dismiss()

    def action_leave(self) -> None:
        if not self._changed():
            self.dismiss()
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.dismiss()

        words = ", ".join(self._changed())
        question = ConfirmScreen("Leave without writing?", f"Changed: {words}.", "Leave")
        self.app.push_screen(question, answered)

    def _changed(self) -> list[str]:
        names = (field.name for field in self._fields)
        return [name for name in names if getattr(self._draft, name) != getattr(self._saved, name)]

    def _written(self) -> dict[str, Any]:
        """What haruon.toml itself says under [train]: it stays when the recipe changes."""
        document = tomllib.loads(self._session.workspace.file.read_text("utf-8"))
        written: dict[str, Any] = document.get("train", {})
        return written
