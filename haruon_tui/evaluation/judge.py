"""Optional second opinion: a language model behind an OpenAI-compatible address scores each report
by the rubric in data/evaluation/rubric.json.

Its scores stand beside the rules' figures and never enter them, nor the bar. The key comes from
the environment variable that the settings name, and is written nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from string import Template
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from haruon_tui import artifacts
from haruon_tui.dataset import persona
from haruon_tui.dataset.generation import endpoint
from haruon_tui.dataset.generation.dialect import Dialect
from haruon_tui.dataset.generation.retry import Gate, backoff
from haruon_tui.errors import ConfigurationError, StageError

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.settings import EvaluateSettings

TRIES = 6
"""Requests for one report before the judge is given up."""

_IN_FLIGHT = 4
_MAX_TOKENS = 600
_FIRST_WAIT = 1.0
_UNREADABLE_TRIES = 2
_TICK = 0.1


class Params(BaseModel):
    """The server and model asked, and the name of the variable with the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    model: str
    api_key_env: str
    timeout: float = Field(120.0, gt=0)
    first_wait: float = Field(_FIRST_WAIT, gt=0)
    rubric: int = Field(description="its version; another one asks again")


class Verdict(BaseModel):
    """Scores by criterion, empty where no answer could be read."""

    model: str
    case: str
    scores: dict[str, int]
    comment: str = ""


def configure(settings: EvaluateSettings) -> Params | None:
    """None while no model is named as the judge. Raises ConfigurationError for a wrong address."""
    if not settings.judge_model.strip():
        return None
    url = settings.judge_base_url or os.environ.get("OPENAI_BASE_URL", "") or endpoint.DEFAULT_URL
    try:
        checked = endpoint.checked_url(url)
    except ConfigurationError as error:
        _as_ours(error)
    return Params(
        base_url=checked,
        model=settings.judge_model,
        api_key_env=settings.judge_api_key_env,
        rubric=rubric()["version"],
    )


def require_key(params: Params) -> str:
    """The key. Raises ConfigurationError when it is not there."""
    try:
        return endpoint.key_of(params.api_key_env, params.base_url)
    except ConfigurationError as error:
        _as_ours(error)


@cache
def rubric() -> dict[str, Any]:
    """The rubric: texts of the prompt, the scale, and the criteria."""
    text = (files("haruon_tui.data.evaluation") / "rubric.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def messages(line: dict[str, Any]) -> list[dict[str, str]]:
    """What the judge is asked about one line of generations.jsonl."""
    known = rubric()
    form = {one["key"]: known["highest"] for one in known["criteria"]}
    request = Template(known["request"]).substitute(
        criteria="\n".join(f"- {one['key']}: {one['text']}" for one in known["criteria"]),
        answers=persona.user_turn(line["answers"]),
        report=line["text"],
        form=json.dumps({"scores": form, "comment": known["comment"]}, ensure_ascii=False),
    )
    return [{"role": "system", "content": known["system"]}, {"role": "user", "content": request}]


def read(text: str) -> tuple[dict[str, int], str] | None:
    """Scores and comment from a judge's text; None unless every criterion has a whole score on
    the scale."""
    known = rubric()
    begin, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[begin : end + 1])
        scores = {one["key"]: value["scores"][one["key"]] for one in known["criteria"]}
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    low, high = known["lowest"], known["highest"]
    if not all(type(score) is int and low <= score <= high for score in scores.values()):
        return None
    return scores, str(value.get("comment", ""))[:500]


def run(params: Params, lines: Sequence[dict[str, Any]], job: JobContext) -> list[Verdict]:
    """A verdict for each line, in their order; those given before a stop are kept.

    Raises ConfigurationError without a key, StageError when the server gives no answer (a
    resumed job goes on), and Stopped.
    """
    kept = _Kept(job.scratch / "judged.jsonl")
    wanted = [line for line in lines if (line["model"], line["case"]) not in kept.verdicts]
    if wanted:
        asyncio.run(_Asking(params, require_key(params), kept, job, len(lines)).all(wanted))
    job.raise_if_stopped()
    return [kept.verdicts[line["model"], line["case"]] for line in lines]


def means(verdicts: Sequence[Verdict]) -> dict[str, dict[str, float]]:
    """Mean score by model and criterion over the verdicts that were read, and how many."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(one.model for one in verdicts):
        good = [one.scores for one in verdicts if one.model == name and one.scores]
        keys = good[0] if good else {}
        found[name] = {key: sum(one[key] for one in good) / len(good) for key in keys}
        found[name]["reports"] = len(good)
    return found


def document(params: Params, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What judge.json holds."""
    return {
        "judge": params.model_dump(exclude={"api_key_env"}),
        "criteria": {one["key"]: one["title"] for one in rubric()["criteria"]},
        "means": means(verdicts),
        "verdicts": [one.model_dump() for one in verdicts],
    }


def _as_ours(error: ConfigurationError) -> NoReturn:
    """The same error about the judge's own keys of haruon.toml."""
    parts = {key: ours(text) for key, text in error.as_dict().items()}
    raise ConfigurationError(parts.pop("what"), **parts) from error


def ours(text: str) -> str:
    return text.replace("generate.", "evaluate.judge_")


class _Kept:
    """Verdicts in a file of the scratch folder. A line cut off by a crash is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.verdicts: dict[tuple[str, str], Verdict] = {}
        whole = []
        for raw in path.read_bytes().splitlines() if path.exists() else []:
            try:
                one = Verdict.model_validate_json(raw)
            except ValidationError:
                continue
            self.verdicts[one.model, one.case] = one
            whole.append(one.model_dump_json() + "\n")
        if path.exists():
            artifacts.write_text(path, "".join(whole))

    def add(self, verdict: Verdict) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(verdict.model_dump_json() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.verdicts[verdict.model, verdict.case] = verdict


@dataclass
class _Asking:
    """The requests of one attempt, a few at once."""

    params: Params
    key: str
    kept: _Kept
    job: JobContext
    total: int

    async def all(self, lines: Sequence[dict[str, Any]]) -> None:
        self.halted = asyncio.Event()
        self.gate = Gate(self.halted)
        self.dialect = Dialect(form="text")
        self.rng = Random(0)
        waiting = list(reversed(lines))
        self._say()
        async with endpoint.Endpoint(
            self.params.base_url, self.params.model, self.key, timeout=self.params.timeout
        ) as server:

            async def work() -> None:
                while waiting and not self.halted.is_set():
                    await self._judge(server, waiting.pop())

            tasks = [asyncio.create_task(work()) for _ in range(_IN_FLIGHT)]
            try:
                pending = set(tasks)
                while pending:
                    done, pending = await asyncio.wait(
                        pending, timeout=_TICK, return_when=asyncio.FIRST_EXCEPTION
                    )
                    for task in done:
                        task.result()
                    if self.job.stop_requested:
                        return
            finally:
                self.halted.set()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge(self, server: endpoint.Endpoint, line: dict[str, Any]) -> None:
        found = None
        for _ in range(_UNREADABLE_TRIES):
            found = read(await self._answer(server, messages(line)))
            if found:
                break
        scores, comment = found or ({}, "")
        self.kept.add(
            Verdict(model=line["model"], case=line["case"], scores=scores, comment=comment)
        )
        self._say()

    async def _answer(self, server: endpoint.Endpoint, asked: list[dict[str, str]]) -> str:
        failures = 0
        while True:
            await self.gate.passed()
            used = self.dialect
            arguments = used.arguments({}, max_tokens=_MAX_TOKENS, temperature=0.0)
            try:
                return (await server.ask(asked, arguments)).text
            except endpoint.Refused as error:
                following = used.after_refusal(str(error))
                if following is None:
                    raise self._given_up(f"the server refuses the request ({error})") from error
                self.dialect = following
            except endpoint.Unusable as error:
                raise self._given_up(ours(error.words), ours(error.do)) from error
            except endpoint.Failed as error:
                failures += 1
                if failures >= TRIES:
                    raise self._given_up(f"{error.words}, {TRIES} times in a row") from error
                wait = error.wait
                if wait is None:
                    wait = backoff(failures, self.params.first_wait, self.rng)
                self.gate.shut(wait)

    def _given_up(self, words: str, do: str = "") -> StageError:
        again = f"haruon jobs resume {self.job.id} goes on where it was: the reports are kept"
        return StageError(
            f"the judge gives no answer: {words}",
            where=self.params.base_url,
            do=f"{do}; then {again}" if do else again,
        )

    def _say(self) -> None:
        self.job.progress(len(self.kept.verdicts), self.total, phase="judge", unit="reports")
