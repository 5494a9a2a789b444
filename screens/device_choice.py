"""Choosing the GPUs that jobs may use, with what each holds now and who waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from haruon_tui.screens.engine import parts
from haruon_tui.screens.plain_text import one_line, plain_text
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.hardware.gpu_state import GpuState
    from haruon_tui.workspace import Workspace

Gpus = list[int] | str
"""What hardware.gpus holds: numbers, or "auto"."""

_EVERY_SECONDS = 2.0
_KEYS = "space picks · enter saves · esc leaves. A job that is in a queue stays there."


class DeviceChoiceScreen(ModalScreen[Gpus | None]):
    """Dismisses with the choice; with None for Escape, or where there is nothing to choose."""

    CSS_PATH = stylesheet("device_choice")
    BINDINGS: ClassVar = [
        Binding("space", "pick", "Pick", priority=True),
        Binding("enter", "save", "Save", priority=True),
        Binding("escape", "dismiss(None)", "Leave"),
    ]

    class Looked(Message):
        """The GPUs were read."""

        def __init__(
            self,
            states: list[GpuState],
            hidden: frozenset[int] = frozenset(),
            problem: str = "",
            gpus: Gpus = "auto",
        ) -> None:
            super().__init__()
            self.states = states
            self.hidden = hidden
            self.problem = problem
            self.gpus = gpus

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._looked: DeviceChoiceScreen.Looked | None = None
        self._picked: set[int] | None = None  # None: all of them, "auto"
        self._looking = False

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(plain_text("GPUs that jobs may use", "bold"))
            yield Static("Looking at the GPUs …", id="state", markup=False)
            yield OptionList(id="gpus", markup=False)
            yield Static(plain_text(_KEYS, "dim"), id="keys")

    def on_mount(self) -> None:
        self._look()
        self.set_interval(_EVERY_SECONDS, self._look)

    def action_pick(self) -> None:
        at = self.query_one("#gpus", OptionList).highlighted
        if at is None or self._looked is None:
            return
        if at == 0:
            self._picked = None
        else:
            number = self._numbers[at - 1]
            if number not in self._looked.hidden:
                picked = set(self._numbers) - self._looked.hidden
                self._picked = (picked if self._picked is None else self._picked) ^ {number}
        self._draw()

    def action_save(self) -> None:
        if self._looked is None or not self._numbers:
            self.dismiss(None)
        else:
            self.dismiss("auto" if self._picked is None else sorted(self._picked))

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_pick()

    # Off the event loop, in threads of its own: a driver that hangs never holds up quitting

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            threading.Thread(target=self._read, name="gpus", daemon=True).start()

    def _read(self) -> None:
        from haruon_tui.hardware.gpu_state import read_gpu_states
        from haruon_tui.jobs.devices import visible_gpus

        try:
            found = read_gpu_states()
            gpus = [state.gpu for state in found.gpus]
            seen = {gpu.index for gpu in visible_gpus(gpus)}
            hidden = frozenset(gpu.index for gpu in gpus) - seen
            chosen = self._workspace.settings.hardware.gpus
            self.post_message(self.Looked(found.gpus, hidden, found.problem or "", chosen))
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self.post_message(self.Looked([], problem=parts(error)["what"]))

    # On it

    @property
    def _numbers(self) -> list[int]:
        """Those that are there, then those that were picked and are not."""
        there = [state.gpu.index for state in self._looked.states] if self._looked else []
        return there + sorted((self._picked or set()) - set(there))

    @on(Looked)
    def _show(self, message: Looked) -> None:
        self._looking = False
        if not self.is_attached:
            return
        first = self._looked is None
        if first and message.gpus != "auto":
            self._picked = {number for number in message.gpus if isinstance(number, int)}
        self._looked = message
        self._draw()
        if first and self._numbers:
            choices = self.query_one("#gpus", OptionList)
            choices.highlighted = 0
            choices.focus()

    def _draw(self) -> None:
        looked, choices = self._looked, self.query_one("#gpus", OptionList)
        assert looked is not None
        self.query_one("#state", Static).update(self._state())
        choices.display = bool(self._numbers)
        if not self._numbers:
            return
        states = {state.gpu.index: state for state in looked.states}
        prompts = [self._line(self._picked is None, "auto: every GPU that is here", ())]
        for number in self._numbers:
            state = states.get(number)
            name, *rest = state.lines() if state else ("is not there",)
            if number in looked.hidden:
                rest = ["hidden by CUDA_VISIBLE_DEVICES"]
            picked = number not in looked.hidden and (
                self._picked is None or number in self._picked
            )
            prompts.append(self._line(picked, f"GPU {number}: {name}", rest))
        if choices.option_count != len(prompts):
            at = choices.highlighted
            choices.clear_options()
            choices.add_options(map(Option, prompts))
            choices.highlighted = at if at is not None and at < len(prompts) else 0
            return
        for place, prompt in enumerate(prompts):
            choices.replace_option_prompt_at_index(place, prompt)

    def _state(self) -> str:
        assert self._looked is not None
        if self._looked.problem:
            return f"✗ {one_line(self._looked.problem)}"
        if not self._looked.states:
            return "There is no NVIDIA GPU here: jobs run on the CPU, or on Apple's own GPU."
        if self._picked is None:
            return "A job takes the GPU with the shortest queue, then the one with most room."
        if not self._picked:
            return "None is picked: jobs run on the CPU."
        numbers = ", ".join(map(str, sorted(self._picked)))
        return f"A job takes the one of {numbers} with the shortest queue, then with most room."

    @staticmethod
    def _line(picked: bool, title: str, rest: object) -> Text:
        text = Text(f"{'[x]' if picked else '[ ]'} {one_line(title)}", style="bold")
        for line in rest if isinstance(rest, list | tuple) else ():
            text.append(f"\n    {one_line(line)}", style="not bold")
        return text
