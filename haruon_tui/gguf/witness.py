"""What llama.cpp makes of the probes: one side of the proof, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.gguf import isolated, probes

if TYPE_CHECKING:
    from haruon_tui.gguf.native import Model


def look(arguments: isolated.Arguments, emit: isolated.Emit) -> dict[str, Any]:
    """Load the file `gguf` and answer as `Seen` of verify.py; the logits [tokens, vocabulary] on
    the token ids `probe` go to the file `logits`, the tokens that follow into the answer."""
    import numpy as np

    from haruon_tui.gguf.native import Model

    probe = arguments["probe"]
    room = len(probe) + probes.GREEDY_TOKENS
    with Model(Path(arguments["gguf"]), context=max(room, 1)) as model:
        size = model.vocabulary_size
        continued: list[int] = []
        if probe and max(probe) < size:
            np.save(arguments["logits"], model.logits(probe))
            continued = model.continued(probes.GREEDY_TOKENS)
        return {
            "file_type": model.file_type,
            "vocabulary": [model.token_text(token) for token in range(size)],
            "pre_tokenizer": model.metadata("tokenizer.ggml.pre"),
            "eos": model.eos,
            "eot": model.eot,
            "ends": [token for token in range(size) if model.ends_generation(token)],
            "adds_bos": model.adds_bos,
            "adds_eos": model.adds_eos,
            "tokens": {name: model.tokenize(text) for name, text in probes.TOKENS.items()},
            "template": model.chat_template,
            "prompts": {name: _prompt(model, messages) for name, messages in probes.CHATS.items()},
            "continued": continued,
        }


def _prompt(model: Model, messages: list[dict[str, str]]) -> dict[str, Any]:
    try:
        rendered = model.render_chat(messages) if model.chat_template else ""
    except Exception as error:  # noqa: BLE001 - a template is a program, and can fail in any way
        rendered = f"cannot be rendered: {error}"
    return {
        "jinja": rendered,
        "built in": model.render_chat_built_in(messages),
        "tokens": model.tokenize(rendered, rendered=True),
    }
