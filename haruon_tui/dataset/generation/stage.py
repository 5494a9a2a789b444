"""Stage "generate": examples from an OpenAI-compatible server, or composed ones without a key.

Artefacts: accepted.jsonl (dataset records, source "generated"), rejected.jsonl (what came to
nothing, with the reasons), report.json (figures). They are made whole from the ledger, at a stop
and at a failure too. The ledger lies in the workspace, not in the run: whatever is paid for serves
every later run with the same server, model, prompt and seed, also with another count or budget.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from haruon_tui import artifacts, stage
from haruon_tui.dataset import golden, records, rules
from haruon_tui.dataset.generation import endpoint, live, plan, prompt
from haruon_tui.dataset.generation.estimate import Estimate, estimate
from haruon_tui.dataset.generation.ledger import Ledger, State, read
from haruon_tui.dataset.generation.redaction import Redaction
from haruon_tui.dataset.generation.servers import Servers
from haruon_tui.dataset.generation.spending import Budget, Prices, money, prices_of
from haruon_tui.errors import ConfigurationError, HaruonError, StageError, Stopped
from haruon_tui.stage import InputPath

if TYPE_CHECKING:
    from haruon_tui.dataset.generation.work import Work
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import Settings

_TICK = 0.1
_LIVE_SECONDS = 0.5


class Params(stage.Params):
    provider: Literal["openai", "composer"]
    base_url: str = Field(description="without a secret; empty for the composer")
    other_urls: list[str] = Field(
        default_factory=list, description="further servers of the same model, without a secret"
    )
    model: str
    api_key_env: str = Field(description="the name of the variable, never the key")
    count: int = Field(ge=1)
    examples: int = Field(ge=0)
    temperature: float
    max_tokens: int = Field(ge=1)
    tries: int = Field(ge=1)
    seed: int = Field(ge=0)
    in_flight: int = Field(ge=1)
    timeout: float = Field(gt=0)
    budget: float = Field(ge=0)
    token_budget: int = Field(ge=0)
    input_price: float = -1.0
    output_price: float = -1.0
    retries: int = Field(ge=0)
    backoff_seconds: float = Field(gt=0)
    give_up_after: int = Field(ge=1)
    rules_file: InputPath
    ledgers: Path = Field(
        Path("generation"), description="folder of the ledgers, relative to the workspace"
    )

    @property
    def urls(self) -> list[str]:
        """Every server once, the first one first."""
        return list(dict.fromkeys([self.base_url, *self.other_urls]))

    @property
    def server_words(self) -> str:
        """The servers, separated by commas."""
        return ", ".join(self.urls)

    @property
    def prices(self) -> Prices | None:
        return prices_of(self.model, self.input_price, self.output_price)

    @property
    def limits(self) -> Budget:
        return Budget(self.budget, self.token_budget, self.prices)

    @property
    def budget_words(self) -> str:
        return self.limits.words

    @property
    def plan_name(self) -> str:
        """Equal for what can share a ledger."""
        asks: list[Any] = [self.base_url, self.model, self.examples, self.temperature, self.seed]
        text = json.dumps([*asks, prompt.version(), artifacts.digest(golden.reports_file())])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def ledger(self) -> Path:
        return self.ledgers / self.plan_name / "ledger.jsonl"

    @property
    def rules_digest(self) -> str:
        return artifacts.digest(self.rules_file)[:12]


class Result(stage.Result):
    accepted: int
    missing: int = Field(description="examples wanted that are not there")
    rejected: int = 0
    repaired: int = 0
    requests: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    lost_tokens: int = 0
    cost: float | None = None
    currency: str = ""
    ended_by: str = Field("", description='"budget", or empty')


def configure(settings: Settings, inputs: stage.Inputs | None = None) -> Params:
    """Take the section [generate]. Raises ConfigurationError while no model is named and for an
    address that is none."""
    wanted = settings.generate
    base_url = ""
    if wanted.provider == "openai":
        if not wanted.model.strip():
            raise ConfigurationError(
                "no model is chosen to generate examples with",
                where="generate.model",
                expected="the name of a model, and its server in generate.base_url",
                do='write them into haruon.toml under [generate], or provider = "composer"',
            )
        base_url = endpoint.checked_url(
            wanted.base_url or os.environ.get("OPENAI_BASE_URL", "") or endpoint.DEFAULT_URL
        )
    others = [endpoint.checked_url(url, "generate.other_urls") for url in wanted.other_urls]
    taken = wanted.model_dump(include=set(Params.model_fields) - {"base_url", "other_urls"})
    rules_file = rules.file_of(settings.dataset.rules)
    return Params(**taken, base_url=base_url, other_urls=others, rules_file=rules_file)


def require_key(params: Params) -> None:
    """Raise ConfigurationError when the key is not there."""
    if params.provider == "openai":
        _keys(params)


def _keys(params: Params) -> dict[str, str]:
    """The key for each server; one on this machine needs none."""
    return {url: endpoint.key_of(params.api_key_env, url) for url in params.urls}


def estimated(params: Params, workspace: Path) -> Estimate:
    """What is left to ask for, and what that would take. Nothing is asked."""
    return estimate(
        read(workspace / params.ledger, params.rules_digest),
        count=params.count,
        tries=params.tries,
        examples=params.examples,
        seed=params.seed,
        max_tokens=params.max_tokens,
        prices=params.prices,
    )


def run(params: Params, job: JobContext) -> Result:
    """Generate what the ledger does not have yet.

    Raises ConfigurationError without a key, StageError when the server cannot be used, Stopped.
    """
    if params.provider == "composer":
        return _compose(params, job)
    keys = _keys(params)
    with Ledger(params.ledger, params.rules_digest) as ledger:
        if ledger.state.unreadable:
            job.log(f"{ledger.path}: {ledger.state.unreadable} lines cannot be read", "warning")
        try:
            work = asyncio.run(_work(params, job, ledger, keys))
            left, ended_by = work.left, work.ended_by
        except HaruonError:
            _publish(params, job, ledger.state)
            raise
        except Exception as error:  # noqa: BLE001 - a traceback could show the key
            hide = Redaction(next((key for key in keys.values() if key != "none"), None)).text
            print(hide(traceback.format_exc()), file=sys.stderr)
            raise StageError(
                hide(f"{type(error).__name__}: {error}"), do="run it again: what is paid is kept"
            ) from None
        result = _publish(params, job, ledger.state, ended_by=ended_by)
    if ended_by == "stop":
        raise Stopped
    if left:
        job.log(f"{len(left)} examples were left out after failures; run it again", "warning")
    return result


async def _work(params: Params, job: JobContext, ledger: Ledger, keys: dict[str, str]) -> Work:
    from haruon_tui.dataset.generation.judge import Judge
    from haruon_tui.dataset.generation.work import Asked, Pacing, Work
    from haruon_tui.dataset.validator import Validator

    budget = params.limits
    if params.prices is None:
        job.log(
            f"no price of {params.model} is known: tokens are counted, money is not "
            "(generate.input_price and output_price set it)",
            "warning",
        )
    job.log(f"{params.model} at {params.server_words}, budget {budget.words}")
    judge = Judge(Validator(rules.load_file(params.rules_file)), ledger.state.records())
    opened = [
        endpoint.Endpoint(url, params.model, key, timeout=params.timeout)
        for url, key in keys.items()
    ]
    async with Servers(opened, job.log) as servers:
        work = Work(
            Asked(
                count=params.count,
                examples=params.examples,
                tries=params.tries,
                seed=params.seed,
                max_tokens=params.max_tokens,
                temperature=params.temperature,
                name=f"generated-{params.plan_name[:6]}",
            ),
            Pacing(params.in_flight, params.retries, params.backoff_seconds, params.give_up_after),
            budget,
            servers,
            ledger,
            judge,
            job.log,
        )
        watching = asyncio.create_task(_watch(params, job, ledger.state, work))
        try:
            await work.run()
        finally:
            watching.cancel()
            _show(params, job, ledger.state, work)
    return work


async def _watch(params: Params, job: JobContext, state: State, work: Work) -> None:
    """Pass on a stop, and show how far it is."""
    shown = 0.0
    clock = asyncio.get_running_loop().time
    while True:
        if job.stop_requested:
            work.stop()
        if clock() - shown >= _LIVE_SECONDS:
            _show(params, job, state, work)
            shown = clock()
        await asyncio.sleep(_TICK)


def _show(params: Params, job: JobContext, state: State, work: Work) -> None:
    now = live.look(
        state,
        count=params.count,
        tries=params.tries,
        prices=params.prices,
        in_flight=work.in_flight,
        waits=work.waits,
        waits_for=work.waits_for,
    )
    live.write(job.scratch, now)
    done = now.accepted + now.given_up
    job.progress(done, params.count, phase="generating", unit="examples")


def _publish(params: Params, job: JobContext, state: State, *, ended_by: str = "") -> Result:
    """Make the artefacts from the ledger."""
    now = live.look(state, count=params.count, tries=params.tries, prices=params.prices)
    wanted = state.records(params.count)
    with job.artifact("accepted.jsonl", records=len(wanted)) as temporary:
        records.write(temporary, wanted)
    with job.artifact("rejected.jsonl", records=now.rejected) as temporary:
        records.write(temporary, _rejects(params, state))
    result = Result(
        summary=_summary(now, ended_by),
        missing=params.count - now.accepted,
        ended_by=ended_by if ended_by == "budget" else "",
        **now.model_dump(include=set(Result.model_fields)),
    )
    with job.artifact("report.json") as temporary:
        artifacts.write_json(temporary, result.model_dump())
    return result


def _rejects(params: Params, state: State) -> Iterator[dict[str, Any]]:
    for key, verdict in state.rejected(params.tries):
        if key.slot < params.count:
            yield {
                "slot": key.slot,
                "try": key.attempt,
                "levels": plan.levels(key.slot, params.seed),
                "reasons": [{"rule": rule, "words": words} for rule, words in verdict.faults],
                "text": state.answers[key].text,
            }


def _summary(now: live.Live, ended_by: str) -> str:
    words = [f"{now.accepted} of {now.wanted} accepted"]
    if now.repaired:
        words.append(f"{now.repaired} of them after a repair")
    words.append(f"{now.rejected} rejected")
    words.append(f"{now.requests} requests, {now.input_tokens + now.output_tokens:,} tokens")
    if now.cost is not None:
        words.append(money(now.cost, now.currency))
    if ended_by == "budget":
        words.append("stopped at the budget")
    return ", ".join(words)


def _compose(params: Params, job: JobContext) -> Result:
    """The keyless provider: composed records, which cost nothing and need no check."""
    from haruon_tui.dataset.composer import compose

    made = compose(params.count, params.seed).records
    job.raise_if_stopped()
    with job.artifact("accepted.jsonl", records=len(made)) as temporary:
        records.write(temporary, made)
    job.progress(len(made), params.count, phase="composing", unit="examples")
    return Result(
        summary=f"{len(made)} composed offline, without a key", accepted=len(made), missing=0
    )
