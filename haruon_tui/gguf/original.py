"""What transformers makes of the probes: the other side of the proof, in F32 on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import StageError
from haruon_tui.gguf import probes
from haruon_tui.gguf.model_config import read_config, read_json
from haruon_tui.gguf.vocabulary import (
    looks_special,
    read_chat_template,
    read_pre_tokenizer,
    read_turn_end,
)
from haruon_tui.gguf.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

    Logits = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Step:
    """One greedy token, and by how much its logit leads the second best."""

    token: int
    lead: float


class Original:
    """A model folder: its tokenizer and chat template at once, its weights when asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises StageError for a folder that is no whole model, as the converter does."""
        self.folder = folder
        self.config = read_config(folder)
        Weights(folder, self.config)
        self.template = read_chat_template(folder)
        path = folder / "tokenizer.json"
        self.tokenizer = _tokenizer(path)
        content = read_json(path)
        self.pre_tokenizer = read_pre_tokenizer(content, path).name
        known = self.tokenizer.get_vocab(with_added_tokens=True)
        self.turn_end = read_turn_end(self.template, known, path)
        self.turn_end_id = known[self.turn_end]
        self.special = {
            token["id"]
            for token in content.get("added_tokens", [])
            if token.get("special") or looks_special(token["content"])
        }
        self.adds = [int(token) for token in self.tokenizer.encode("").ids]
        """The tokens that the tokenizer puts around a text."""

    def ids(self, text: str, *, rendered: bool = False) -> list[int]:
        """Token ids, without what goes around a text when a chat template has rendered it."""
        return list(self.tokenizer.encode(text, add_special_tokens=not rendered).ids)

    @property
    def stated_ends(self) -> set[int]:
        """The tokens that generation_config.json ends a generation with."""
        path = self.folder / "generation_config.json"
        stated = read_json(path).get("eos_token_id") if path.exists() else None
        listed = stated if isinstance(stated, list) else [stated]
        return {token for token in listed if isinstance(token, int)}

    def prompts(self) -> dict[str, str]:
        """The conversations of probes.py as transformers writes them. Raises StageError."""
        from transformers import AutoTokenizer

        try:
            reference = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            return {
                name: reference.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
                for name, messages in probes.CHATS.items()
            }
        except Exception as error:  # a template is a program, and can fail in any way
            raise StageError(
                f"transformers cannot write a prompt: {error}",
                where=str(self.folder),
                expected="a tokenizer and a chat template that transformers takes",
            ) from error

    def predictions(self, tokens: list[int]) -> tuple[Logits, list[Step]]:
        """Logits [tokens, vocabulary] after each of the tokens, and the greedy ones that follow.
        Raises StageError."""
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                self.folder,
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
            )
        except Exception as error:  # whatever the library makes of a damaged folder
            raise StageError(
                f"transformers cannot load the model: {error}", where=str(self.folder)
            ) from error
        steps: list[Step] = []
        with torch.inference_mode():
            output = model(torch.tensor([tokens]), use_cache=True)
            logits: Logits = output.logits[0].numpy()
            while len(steps) < probes.GREEDY_TOKENS:
                best = output.logits[0, -1].topk(2)
                token = int(best.indices[0])
                steps.append(Step(token, float(best.values[0] - best.values[1])))
                output = model(
                    torch.tensor([[token]]), past_key_values=output.past_key_values, use_cache=True
                )
        return logits, steps


def _tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if not path.exists():
        raise StageError("this file is missing", where=str(path), expected="a model folder")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise StageError(f"is no whole tokenizer: {error}", where=str(path)) from error
