"""The proof that a GGUF behaves as the Hugging Face model it was made from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from haruon_tui.errors import StageError
from haruon_tui.gguf import isolated, probes
from haruon_tui.gguf.model_config import read_config
from haruon_tui.gguf.vocabulary import TURN_END, read_chat_template

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

    Logits = np.ndarray[Any, np.dtype[np.float32]]

KL_BAR = 1e-4
"""The largest mean KL divergence, in nats per token, of a file that is not quantized."""

UNQUANTIZED = ("F16", "all F32")

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
    bar on the KL divergence holds for F16 and F32 files; for a quantized one it is only told.
    Raises StageError when `model_dir` cannot be read.
    """
    tokenizer = _tokenizer(model_dir)
    template = read_chat_template(model_dir)
    probe = _ids(tokenizer, probes.LOGITS)[: probes.LOGIT_TOKENS]
    with tempfile.TemporaryDirectory() as folder:
        logits_file = Path(folder) / "logits.npy"
        progress(0, 3, "llama.cpp")
        try:
            seen = isolated.call(
                f"{__name__}:look",
                {"gguf": str(gguf.absolute()), "probe": probe, "logits": str(logits_file)},
                stop_requested=stop_requested,
            )
        except StageError as error:
            return [Check(name="loads in llama.cpp", ok=False, detail=error.what)]
        checks = [
            Check(name="loads in llama.cpp", ok=True, detail=seen["file_type"]),
            _same_vocabulary(seen, model_dir),
            _stops(seen, tokenizer),
            _same_tokens(seen, tokenizer),
            _same_template(seen, template),
        ]
        progress(1, 3, "transformers")
        checks.append(_same_prompts(seen, tokenizer, model_dir))
        if len(probe) == 0 or not checks[1].ok:
            return checks
        import numpy as np

        expected = _transformers_logits(model_dir, probe)
        progress(2, 3, "logits")
        checks.append(_same_logits(expected, np.load(logits_file), seen["file_type"]))
        progress(3, 3, "logits")
    return checks


def look(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """What llama.cpp makes of the probes. Runs in a process of its own."""
    import numpy as np

    from haruon_tui.gguf.native import Model

    probe = arguments["probe"]
    with Model(Path(arguments["gguf"]), context=max(len(probe), 1)) as model:
        inside = [token for token in probe if token < model.vocabulary_size]
        if len(inside) == len(probe):
            np.save(arguments["logits"], model.logits(probe))
        prompts = {}
        for name, messages in probes.CHATS.items():
            rendered = model.render_chat(messages) if model.chat_template else ""
            prompts[name] = {
                "jinja": rendered,
                "built in": model.render_chat_built_in(messages),
                "tokens": model.tokenize(rendered),
            }
        return {
            "file_type": model.file_type,
            "vocabulary": model.vocabulary_size,
            "eos": model.eos,
            "eot": model.eot,
            "eos_ends": model.ends_generation(model.eos),
            "adds_tokens": model.adds_tokens,
            "tokens": {name: model.tokenize(text) for name, text in probes.TOKENS.items()},
            "template": model.chat_template,
            "prompts": prompts,
        }


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


def _tokenizer(model_dir: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    path = model_dir / "tokenizer.json"
    if not path.exists():
        raise StageError("this file is missing", where=str(path), expected="a model folder")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise StageError(f"cannot be read: {error}", where=str(path)) from error


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _same_vocabulary(seen: dict[str, Any], model_dir: Path) -> Check:
    expected = read_config(model_dir).vocabulary
    return Check(
        name="vocabulary size",
        ok=seen["vocabulary"] == expected,
        detail=f"{seen['vocabulary']} tokens, config.json says {expected}",
    )


def _stops(seen: dict[str, Any], tokenizer: Tokenizer) -> Check:
    expected = tokenizer.token_to_id(TURN_END)
    ok = seen["eos"] == seen["eot"] == expected and seen["eos_ends"] and not seen["adds_tokens"]
    return Check(
        name="stop token",
        ok=ok,
        detail=f"eos {seen['eos']}, eot {seen['eot']}; {TURN_END} is {expected}"
        + ("; llama.cpp adds tokens of its own" if seen["adds_tokens"] else ""),
    )


def _same_tokens(seen: dict[str, Any], tokenizer: Tokenizer) -> Check:
    total = 0
    for name, text in probes.TOKENS.items():
        expected, found = _ids(tokenizer, text), seen["tokens"][name]
        total += len(expected)
        if found != expected:
            pairs = enumerate(zip(expected, found, strict=False))
            at = next(
                (index for index, (ours, theirs) in pairs if ours != theirs),
                min(len(expected), len(found)),
            )
            return Check(
                name="token ids",
                ok=False,
                detail=f"{name}: token {at} is {found[at : at + 3]} in the GGUF, "
                f"{expected[at : at + 3]} in the model",
            )
    return Check(
        name="token ids", ok=True, detail=f"{total} equal in {len(probes.TOKENS)} kinds of text"
    )


def _same_template(seen: dict[str, Any], expected: str) -> Check:
    ok = seen["template"] == expected
    return Check(
        name="chat template",
        ok=ok,
        detail=f"{len(expected)} characters, equal"
        if ok
        else f"the GGUF has {seen['template'][:60]!r}…, the model {expected[:60]!r}…",
    )


def _same_prompts(seen: dict[str, Any], tokenizer: Tokenizer, model_dir: Path) -> Check:
    """The prompts as written out: transformers', llama-cpp-python's, and llama.cpp's own."""
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    for name, messages in probes.CHATS.items():
        expected = reference.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        found = seen["prompts"][name]
        for formatter in ("jinja", "built in"):
            if found[formatter] != expected:
                return Check(
                    name="prompts",
                    ok=False,
                    detail=f"{name}, llama.cpp's {formatter} formatter: "
                    f"{found[formatter][:80]!r}… instead of {expected[:80]!r}…",
                )
        if found["tokens"] != _ids(tokenizer, expected):
            return Check(name="prompts", ok=False, detail=f"{name}: other token ids")
    return Check(
        name="prompts", ok=True, detail=f"{len(probes.CHATS)} conversations written alike"
    )


def _transformers_logits(model_dir: Path, tokens: list[int]) -> Logits:
    """Logits [tokens, vocabulary] of the Hugging Face model in F32 on the CPU."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    with torch.inference_mode():
        logits: Logits = model(torch.tensor([tokens])).logits[0].numpy()
    return logits


def _same_logits(expected: Logits, found: Logits, file_type: str) -> Check:
    import numpy as np

    if not np.isfinite(found).all():
        return Check(name="logits", ok=False, detail="the GGUF gives NaN or infinity")
    divergence, same = mean_kl(expected, found)
    bar = file_type in UNQUANTIZED
    return Check(
        name="logits",
        ok=divergence < KL_BAR if bar else True,
        detail=f"mean KL {divergence:.2e} over {len(expected)} Korean tokens, "
        f"the same likeliest token in {same:.1%}"
        + (f"; it must be below {KL_BAR:g}" if bar else f"; no bar for {file_type}"),
    )
