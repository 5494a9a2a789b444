"""Two or three models on the same input with the same seed: their answers, side by side.

`SideBySide` starts a client for each model and takes in what the clients say. It is used on the
event loop, where no method waits: each model has a thread that speaks to its client.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal

from haruon_tui.chat.client_thread import Client, ClientThread, Connect, Mode, connect_to
from haruon_tui.chat.first_difference import first_differences
from haruon_tui.chat.models import Model, names_of
from haruon_tui.chat.protocol import Done, Event, Failed, Loaded, Message, Prompt, Sampling, Token
from haruon_tui.errors import ConfigurationError, HaruonError
from haruon_tui.settings import ChatSettings

LABELS = "ABC"
MOST = len(LABELS)

State = Literal["loading", "ready", "waiting", "answering", "ended", "failed"]

_HIDDEN = {
    "loading": "loads",
    "ready": "ready",
    "waiting": "waits for its turn",
    "answering": "writes",
    "ended": "has ended",
    "failed": "could not answer; why is told with the names",
}


@dataclass
class Column:
    """One model and its answer to the present question. `number` is the model's, in the order
    they were given; `label` and the place among the columns change when names are hidden."""

    number: int
    model: Model
    name: str
    label: str = ""
    state: State = "loading"
    pieces: list[str] = field(default_factory=list)
    words: str = ""
    """What it is at, or why it failed; may name the model."""
    done: Done | None = None
    lost: bool = False
    """Whether it has to be loaded again before it can be asked."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def over(self) -> bool:
        """Whether no more of this answer will come."""
        return self.state in ("ready", "ended", "failed")


class SideBySide:
    """The models in the order of `columns`. `blind`, that order is drawn anew for every question,
    and `names_hidden` until `show_names`."""

    def __init__(
        self,
        models: Sequence[Model],
        sampling: dict[str, Any],
        *,
        context: int,
        mode: Mode,
        hear: Callable[[int, Event], object],
        blind: bool = False,
        order_seed: int | None = None,
        connect: Connect | None = None,
    ) -> None:
        """`sampling` as in protocol.Sampling, with a seed. `hear` gets a model's number and the
        event, in a thread; give them to `take`. `order_seed` makes the drawn orders the same
        again, and `connect` replaces the clients, for tests. Raises ConfigurationError.
        """
        if not 2 <= len(models) <= MOST:
            raise ConfigurationError(
                f"{len(models)} models cannot be compared", expected=f"2 to {MOST} models"
            )
        named = enumerate(zip(models, names_of(models), strict=True))
        self.columns = [Column(number, model, name) for number, (model, name) in named]
        self._models = list(self.columns)
        self.mode: Mode = mode
        self.sampling = dict(sampling)
        self.context = context
        self.messages: list[Message] = []
        self.round = ""
        """A mark of this question and its answers; empty before the first."""
        self.blind = blind
        self.names_hidden = blind
        self.closed = False
        self._random = random.Random(order_seed)
        self._hear = hear
        self._connect = connect or connect_to
        self._threads = [ClientThread() for _ in models]
        self._waiting: list[Column] = []
        self._arrange()

    def open(self) -> None:
        """Load every model."""
        for column in self._models:
            self._load(column)

    def ask(self, messages: list[Message]) -> None:
        """Ask every model the same. A model whose worker has ended is loaded again."""
        if self.busy or self.closed:
            return
        self.messages, self.round = messages, uuid.uuid4().hex
        self.names_hidden = self.blind
        self._arrange()
        for column in self.columns:
            column.pieces, column.done = [], None
            if column.lost:
                self._load(column)
            elif column.state != "loading":
                column.state, column.words = "waiting", "waits for its turn"
        self._waiting = list(self.columns)
        self._send()

    def show_names(self) -> None:
        """End the hiding of the names for this question."""
        self.names_hidden = False

    def set_blind(self, blind: bool) -> None:
        """Hide the names from the next question on, or at once where none was asked."""
        self.blind = blind
        if not self.round:
            self.names_hidden = blind
            self._arrange()

    @property
    def busy(self) -> bool:
        """Whether an answer is under way or to come."""
        return bool(self._waiting) or any(c.state == "answering" for c in self.columns)

    @property
    def answered(self) -> bool:
        """Whether there is something to vote on: no answer to come, two with a text."""
        return (
            bool(self.round)
            and not self.busy
            and sum(bool(c.pieces) and c.state == "ended" for c in self.columns) >= 2
        )

    def title(self, column: Column) -> str:
        """What the column is called now: its label, and its name unless names are hidden."""
        return column.label if self.names_hidden else f"{column.label}  {column.name}"

    def words(self, column: Column) -> str:
        """What the column's model is at; while names are hidden, nothing that could tell which
        it is."""
        return _HIDDEN[column.state] if self.names_hidden else column.words

    def stop(self) -> None:
        """End the answers under way; those that wait are not asked for."""
        for column in self._waiting:
            if column.state == "waiting":
                column.state = "ready"
            column.words = "not asked: stopped"
        self._waiting = []
        for column in self.columns:
            if column.state == "answering":
                self._threads[column.number].call(_stop)

    def close(self) -> None:
        """End every worker, without waiting for it."""
        self.closed = True
        self._waiting = []
        for thread in self._threads:
            thread.end()

    def wait_closed(self, seconds: float) -> None:
        """Wait until the workers are gone; not for an event loop."""
        for thread in self._threads:
            thread.join(seconds)

    def take(self, number: int, event: Event) -> None:
        """Take in what the model of this number says."""
        if self.closed:
            return
        column = self._models[number]
        match event:
            case Loaded() as loaded:
                column.lost = False
                column.state = "waiting" if column in self._waiting else "ready"
                column.words = f"ready in {loaded.seconds:.2f} s"
            case Prompt() as read:
                column.words = f"reads the prompt, {read.done}/{read.total} tokens"
            case Token() as token:
                column.words = "writes"
                column.pieces.append(token.text)
            case Done() as done:
                column.state, column.done, column.words = "ended", done, ""
            case Failed() as failed:
                column.state, column.lost = "failed", failed.id is None
                column.words = "; ".join(filter(None, (failed.what, failed.do)))
                if column in self._waiting:
                    self._waiting.remove(column)
        self._send()

    def differences(self) -> dict[int, int]:
        """By a model's number, the character where the first token that differs starts; empty as
        long as the answers are the same."""
        present = [c for c in self.columns if c.pieces and c.state != "failed"]
        found = first_differences([c.pieces for c in present], [c.over for c in present])
        pairs = zip(present, found, strict=True)
        return {column.number: start for column, start in pairs if start is not None}

    def _arrange(self) -> None:
        """Give out labels; in a drawn order where names are hidden."""
        self.columns = list(self._models)
        if self.blind:
            self._random.shuffle(self.columns)
        for label, column in zip(LABELS, self.columns, strict=False):
            column.label = label

    def _load(self, column: Column) -> None:
        column.state, column.words, column.lost = "loading", "loads", False
        number, model, thread = column.number, column.model, self._threads[column.number]

        def start(client: Client | None) -> Client | None:
            if client:
                client.close()
            made: list[Client] = []

            def told(event: Event) -> None:
                if made and thread.client is made[0]:  # one that was replaced counts no more
                    self._hear(number, event)

            try:
                made.append(self._connect(model, self.context, self.mode, len(self._models), told))
                thread.client = made[0]
                made[0].launch()
            except Exception as error:  # noqa: BLE001 - the screen must say it
                self._hear(number, _failed(error))
            return made[0] if made else None

        thread.replace(start)

    def _send(self) -> None:
        """Ask the models whose turn it is."""
        for column in list(self._waiting):
            if self.mode == "in turn" and any(
                other.state in ("answering", "loading") for other in self.columns
            ):
                return  # each has the machine for itself
            if column.state == "waiting":
                self._waiting.remove(column)
                column.state, column.words = "answering", "asked"
                self._threads[column.number].call(
                    partial(self._ask, column.number, self.messages, self.sampling)
                )

    def _ask(
        self,
        number: int,
        messages: list[Message],
        sampling: dict[str, Any],
        client: Client | None,
    ) -> None:
        try:
            if client is None:
                raise ConfigurationError("the model is not loaded")
            client.reset()  # a prefix that is used again can change a greedy answer
            client.ask(messages, **sampling)
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self._hear(number, _failed(error))


def sampling_of(settings: ChatSettings) -> dict[str, Any]:
    """What the settings say of protocol.Sampling."""
    return settings.model_dump(include={name.name for name in fields(Sampling)})


def _stop(client: Client | None) -> None:
    if client:
        client.stop()


def _failed(error: Exception) -> Failed:
    if isinstance(error, HaruonError):
        return Failed(error.what, where=error.where, expected=error.expected, do=error.do)
    return Failed(f"{type(error).__name__}: {error}")
