"""What the generation screen says: figures, reasons, the latest example, and the empty state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from haruon_tui.screens.history import duration
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.widgets.figures import Figure

if TYPE_CHECKING:
    from haruon_tui.dataset.generation.estimate import Estimate
    from haruon_tui.dataset.generation.live import Live
    from haruon_tui.dataset.generation.stage import Params
    from haruon_tui.screens.history import History

NOT_CONFIGURED = """\
No server is set up to generate examples with. Write into haruon.toml:

  [generate]
  base_url = "http://localhost:8000/v1"  # OpenAI-compatible; "" is OpenAI
  model = "the model's name there"
  api_key_env = "OPENAI_API_KEY"         # the variable's name, never the key
  budget = 5.0                           # stops there

and start haruon from a shell that has that variable; a server on this
machine needs none. Without any server, provider = "composer" composes
examples offline, and so does [dataset] compose.
"""

_NONE = "–"
_BAR = 12


def figures(live: Live, job: History | None, now: float) -> list[Figure]:
    """The same names in the same order always, so that nothing jumps."""
    left = job.remaining(now) if job and job.active else None
    failed = sum(count for what, count in live.failures.items() if what != "refused")
    found = [
        ("accepted", f"{live.accepted}/{live.wanted}"),
        ("repaired", str(live.repaired)),
        ("rejected", str(live.rejected)),
        ("in flight", str(live.in_flight if job and job.active else 0)),
        ("left", _NONE if left is None else duration(left)),
        ("given up", str(live.given_up)),
        ("cost", _money(live.cost, live.currency)),
        ("maybe lost", _money(live.lost_cost, live.currency)),
        ("requests", f"{live.requests}, {failed} failed"),
        ("tokens in", f"{live.input_tokens:,}"),
        ("tokens out", f"{live.output_tokens:,}"),
    ]
    waits = bool(live.waits and job and job.active)
    return [*found, ("waits", f"{live.waits:.0f} s, {live.waits_for}" if waits else _NONE)]


def reasons_text(live: Live) -> Text:
    """Why answers were rejected and requests failed, most frequent first."""
    text = Text()
    _counted(text, "Rejected because of", live.reasons, "nothing so far")
    text.append("\n")
    _counted(text, "Requests that failed", live.failures, "none")
    return text


def latest_text(live: Live) -> Text:
    """The last example that was kept, as plain text."""
    text = Text()
    if live.latest is None:
        return text.append("The latest example appears here.", "dim")
    text.append(f"Latest: {one_line(live.latest.get('id'))}\n", "bold")
    text.append(plain(live.latest.get("user", "")) + "\n\n", "italic")
    return text.append(plain(live.latest.get("report", "")))


def estimate_text(params: Params, found: Estimate | None) -> Text:
    """What another run would take."""
    if found is None:
        return Text(f"{params.count} examples composed offline: no request, no cost.")
    if not found.to_ask:
        return Text(f"{found.there} of {found.wanted} examples are there: nothing to ask for.")
    lines = found.lines(params.model, params.server_words, params.budget_words)
    text = Text()
    for name, words in lines:
        text.append(f"{name:<9} ", "dim")
        text.append(f"{one_line(words)}\n")
    text.rstrip()
    return text


def short_text(params: Params, found: Estimate | None) -> Text:
    """The same in one line, beside a generation that is there."""
    if found is None or not found.to_ask:
        return estimate_text(params, found)
    words = [f"{found.to_ask} to ask for", f"{params.model} at {params.server_words}"]
    if params.budget_words != "none":
        words.append(f"budget {params.budget_words}")
    return Text(one_line(", ".join(words)))


def _counted(text: Text, title: str, counts: dict[str, int], none: str) -> None:
    text.append(f"{title}\n", "bold")
    most = max(counts.values(), default=1)
    for name, count in counts.items():
        bar = "█" * max(1, round(_BAR * count / most))
        text.append(f"{count:>5} {one_line(name)} ")
        text.append(f"{bar}\n", "dim")
    if not counts:
        text.append(f"  {none}\n", "dim")


def _money(amount: float | None, currency: str) -> str:
    from haruon_tui.dataset.generation.spending import money

    return "no price" if amount is None else money(amount, currency)
