"""The proof that a GGUF behaves as the Hugging Face model it was made from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from haruon_tui.errors import StageError
from haruon_tui.gguf import isolated, probes

if TYPE_CHECKING:
    import numpy as np

    from haruon_tui.gguf.original import Original, Step

    Logits = np.ndarray[Any, np.dtype[np.float32]]

Seen = dict[str, Any]
"""What witness.look saw."""


class Bounds(NamedTuple):
    """How far a file may be from its model."""

    kl: float
    """The largest mean KL divergence, in nats per token."""
    lead: float
    """A greedy token is compared while its logit leads the second best by more than this."""


BOUNDS = {
    "all F32": Bounds(kl=1e-5, lead=0.02),
    "F16": Bounds(kl=1e-4, lead=0.05),
    "BF16": Bounds(kl=1e-3, lead=0.3),
}
"""By llama.cpp's name for how the weights are stored; it calculates in that type, and keeps keys
and values in F16. Faithful files stay under a tenth of each KL, and no two of their logits differ
by half a lead. A quantized file has no bounds."""

_ROWS = 64


class Check(BaseModel):
    """One line of the proof."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ok: bool
    detail: str


def verify(
    gguf: Path,
    model_dir: Path,
    *,
    stop_requested: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int, str], None] = lambda done, total, phase: None,
) -> list[Check]:
    """Compare `gguf` with the model it was made from, on the texts of probes.py.

    llama.cpp runs in a process of its own; transformers runs in this one, in F32 on the CPU. The
    bounds on logits and greedy text hold for F32, F16 and BF16 files; of a quantized one the
    figures are only told. Raises StageError when `model_dir` cannot be read, and Stopped.
    """
    from haruon_tui.gguf.original import Original

    original = Original(model_dir)
    probe = original.ids(probes.LOGITS)[: probes.LOGIT_TOKENS]
    with tempfile.TemporaryDirectory() as folder:
        logits_file = Path(folder) / "logits.npy"
        progress(0, 3, "llama.cpp")
        try:
            seen = isolated.call(
                "haruon_tui.gguf.witness:look",
                {"gguf": str(gguf.absolute()), "probe": probe, "logits": str(logits_file)},
                stop_requested=stop_requested,
            )
        except StageError as error:
            return [Check(name="loads in llama.cpp", ok=False, detail=error.what)]
        checks = [
            Check(name="loads in llama.cpp", ok=True, detail=seen["file_type"]),
            same_vocabulary(seen, original),
            same_pre_tokenizer(seen, original),
            same_ends(seen, original),
            same_tokens(seen, original),
            same_template(seen, original),
        ]
        progress(1, 3, "transformers")
        checks.append(same_prompts(seen, original))
        if len(seen["vocabulary"]) != original.config.vocabulary or not probe:
            return checks
        import numpy as np

        expected, steps = original.predictions(probe)
        progress(2, 3, "logits")
        bounds = BOUNDS.get(seen["file_type"])
        checks += [
            same_logits(expected, np.load(logits_file), seen["file_type"], bounds),
            same_greedy_text(steps, seen["continued"], original, bounds),
        ]
        progress(3, 3, "logits")
    return checks


def same_vocabulary(seen: Seen, original: Original) -> Check:
    """Every token is called what the tokenizer calls it; ids without a token are not looked at."""
    found, expected = seen["vocabulary"], original.config.vocabulary
    detail = f"{len(found)} tokens, config.json says {expected}"
    ok = len(found) == expected
    if ok:
        for token, text in enumerate(found):
            theirs = original.tokenizer.id_to_token(token)
            if theirs is not None and theirs != text:
                ok = False
                detail = f"token {token} is {text!r} in the GGUF, {theirs!r} in the model"
                break
    return Check(name="vocabulary", ok=ok, detail=detail)


def same_pre_tokenizer(seen: Seen, original: Original) -> Check:
    """The file names the way of splitting text that tokenizer.json's regex means."""
    found, expected = seen["pre_tokenizer"], original.pre_tokenizer
    return Check(
        name="pre-tokenizer",
        ok=found == expected,
        detail=f"{found!r}"
        + ("" if found == expected else f" in the GGUF, but the regex is {expected!r}'s"),
    )


def same_ends(seen: Seen, original: Original) -> Check:
    """A generation ends with the turn, and with whatever else the model's makers say, but with no
    ordinary token; nothing is put around a text that the tokenizer does not put there."""
    expected, ends = original.turn_end_id, set(seen["ends"])
    detail = f"eos {seen['eos']}, eot {seen['eot']}; {original.turn_end} is {expected}"
    complaints = []
    if not seen["eos"] == seen["eot"] == expected or expected not in ends:
        complaints.append("an answer would not end with its turn")
    if missing := sorted(original.stated_ends - ends):
        complaints.append(f"generation_config.json also ends with {missing[0]}, the GGUF does not")
    if ordinary := sorted(ends - original.special):
        complaints.append(f"the ordinary token {ordinary[0]} would end an answer")
    if seen["adds_bos"] != bool(original.adds) or seen["adds_eos"]:
        complaints.append("llama.cpp puts other tokens around a text than the tokenizer")
    return Check(name="stop token", ok=not complaints, detail="; ".join([detail, *complaints]))


def same_tokens(seen: Seen, original: Original) -> Check:
    """Token ids are equal on every text."""
    total = 0
    for name, text in probes.TOKENS.items():
        expected, found = original.ids(text), seen["tokens"][name]
        total += len(expected)
        if found != expected:
            at = _first_difference(expected, found)
            return Check(
                name="token ids",
                ok=False,
                detail=f"{name}: token {at} is {found[at : at + 3]} in the GGUF, "
                f"{expected[at : at + 3]} in the model",
            )
    return Check(
        name="token ids", ok=True, detail=f"{total} equal in {len(probes.TOKENS)} kinds of text"
    )


def same_template(seen: Seen, original: Original) -> Check:
    """The file holds the model's chat template, letter by letter."""
    found, expected = seen["template"], original.template
    if found == expected:
        detail = f"{len(expected)} characters, equal"
    else:
        at = max(0, _first_difference(expected, found) - 20)
        detail = f"the GGUF has …{found[at : at + 60]!r}, the model …{expected[at : at + 60]!r}"
    return Check(name="chat template", ok=found == expected, detail=detail)


def same_prompts(seen: Seen, original: Original) -> Check:
    """The prompts as written out: transformers', llama-cpp-python's, and llama.cpp's own, which
    leaves to the tokenizer what that puts before every text."""
    try:
        prompts = original.prompts()
    except StageError as error:
        return Check(name="prompts", ok=False, detail=error.what)
    first = "".join(original.tokenizer.id_to_token(token) or "" for token in original.adds)
    for name, expected in prompts.items():
        found = seen["prompts"][name]
        for formatter, wanted in (("jinja", expected), ("built in", expected.removeprefix(first))):
            if found[formatter] != wanted:
                at = max(0, _first_difference(wanted, found[formatter]) - 20)
                return Check(
                    name="prompts",
                    ok=False,
                    detail=f"{name}, llama.cpp's {formatter} formatter: …"
                    f"{found[formatter][at : at + 80]!r} instead of …{wanted[at : at + 80]!r}",
                )
        if found["tokens"] != original.ids(expected, rendered=True):
            return Check(name="prompts", ok=False, detail=f"{name}: other token ids")
    return Check(name="prompts", ok=True, detail=f"{len(prompts)} conversations written alike")


def same_logits(expected: Logits, found: Logits, file_type: str, bounds: Bounds | None) -> Check:
    """The mean KL divergence is within bounds."""
    import numpy as np

    if not np.isfinite(found).all():
        return Check(name="logits", ok=False, detail="the GGUF gives NaN or infinity")
    divergence, same = mean_kl(expected, found)
    largest = float(np.abs(expected - found).max())
    return Check(
        name="logits",
        ok=divergence < bounds.kl if bounds else True,
        detail=f"mean KL {divergence:.2e} over {len(expected)} Korean tokens, "
        f"the same likeliest token in {same:.1%}, {largest:.2g} at most between two logits; "
        + (f"KL must be below {bounds.kl:g}" if bounds else f"no bound for {file_type}"),
    )


def same_greedy_text(
    steps: Sequence[Step], found: Sequence[int], original: Original, bounds: Bounds | None
) -> Check:
    """What the likeliest tokens write after the Korean text, up to the first that is a toss-up."""
    lead = bounds.lead if bounds else 0.0
    equal = 0
    for step, token in zip(steps, found, strict=True):
        if step.lead <= lead:
            break
        if step.token != token:
            texts = [original.tokenizer.id_to_token(one) for one in (token, step.token)]
            return Check(
                name="greedy text",
                ok=bounds is None,
                detail=f"token {equal + 1} is {texts[0]!r} in the GGUF, {texts[1]!r} in the "
                f"model, which it leads by {step.lead:.2g}"
                + ("" if bounds else "; no bound for a quantized file"),
            )
        equal += 1
    detail = f"{equal} of {len(steps)} tokens equal"
    if equal < len(steps):
        detail += f"; in the next the two best are within {lead:g}, which either may win"
    return Check(name="greedy text", ok=True, detail=detail)


def mean_kl(expected: Logits, found: Logits) -> tuple[float, float]:
    """Mean over rows of KL(expected ‖ found) = Σ p (ln p - ln q) in nats, and the share of rows
    with the same likeliest token. Both are logits [rows, vocabulary]."""
    import numpy as np

    total, same = 0.0, 0
    for start in range(0, len(expected), _ROWS):
        log_p = _log_softmax(expected[start : start + _ROWS])
        log_q = _log_softmax(found[start : start + _ROWS])
        total += float((np.exp(log_p) * (log_p - log_q)).sum())
        same += int((log_p.argmax(axis=1) == log_q.argmax(axis=1)).sum())
    return total / len(expected), same / len(expected)


def _log_softmax(logits: Logits) -> np.ndarray[Any, np.dtype[np.float64]]:
    import numpy as np

    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray[Any, np.dtype[np.float64]] = shifted - np.log(
        np.exp(shifted).sum(axis=1, keepdims=True)
    )
    return result


def _first_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
