"""What a generation looks like at a moment: for its job to write, and for screens to read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from haruon_tui import artifacts
from haruon_tui.dataset import records
from haruon_tui.dataset.generation.ledger import State
from haruon_tui.dataset.generation.spending import Prices

FILE = "live.json"
"""In the job's scratch folder."""


class Live(BaseModel):
    """`rejected` counts tries that came to nothing, `given_up` slots that have had all of theirs;
    costs are None where no price is known. `latest` is the last example that was kept."""

    model_config = ConfigDict(extra="ignore")

    wanted: int
    accepted: int = 0
    repaired: int = Field(0, description="accepted ones that needed a repair round")
    rejected: int = 0
    given_up: int = 0
    in_flight: int = 0
    requests: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict, description="rules of what is rejected")
    input_tokens: int = 0
    output_tokens: int = 0
    lost_tokens: int = Field(0, description="at most, of requests without an answer")
    currency: str = ""
    cost: float | None = None
    lost_cost: float | None = None
    waits: float = Field(0.0, description="seconds until the server wants to be asked again")
    waits_for: str = ""
    latest: dict[str, str] | None = Field(None, description="id, user and report")


def look(
    state: State,
    *,
    count: int,
    tries: int,
    prices: Prices | None,
    in_flight: int = 0,
    waits: float = 0.0,
    waits_for: str = "",
) -> Live:
    """The state of a ledger in figures."""
    slots = [slot for slot in state.kept if slot < count]
    rejected = [item for item in state.rejected(tries) if item[0].slot < count]
    reasons = Counter(rule for _, verdict in rejected for rule in {r for r, _ in verdict.faults})
    done = sum(state.next(slot, tries) is None for slot in range(count))
    paid, lost = state.paid, state.lost
    return Live(
        wanted=count,
        accepted=len(slots),
        repaired=sum(state.kept[slot].step == "repair" for slot in slots),
        rejected=len(rejected),
        given_up=done - len(slots),
        in_flight=in_flight,
        requests=state.requests,
        failures=dict(state.failures.most_common()),
        reasons=dict(reasons.most_common()),
        input_tokens=paid.input,
        output_tokens=paid.output,
        lost_tokens=lost.total,
        currency=prices.currency if prices else "",
        cost=prices.cost(paid.input, paid.output) if prices else None,
        lost_cost=prices.cost(lost.input, lost.output) if prices else None,
        waits=round(waits, 1),
        waits_for=waits_for,
        latest=_latest(state),
    )


def write(scratch: Path, live: Live) -> None:
    """Replace the file in one step."""
    artifacts.write_text(scratch / FILE, live.model_dump_json())


def read(run_folder: Path) -> Live | None:
    """What the job of this run wrote last; None where there is nothing."""
    try:
        return Live.model_validate_json((run_folder / "scratch" / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _latest(state: State) -> dict[str, str] | None:
    if not state.kept:
        return None
    key = next(reversed(state.kept.values()))
    record: dict[str, Any] = state.verdicts[key].record or {}
    return {
        "id": str(record.get("metadata", {}).get("id", "")),
        "user": records.content(record, "user"),
        "report": records.content(record, "assistant"),
    }
