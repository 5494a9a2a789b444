"""The importance matrix: how strongly each column of a weight is used on a text of one's own.

For every linear layer and column j it is the mean of x_j² over the tokens, x being what enters the
layer: what llama.cpp's llama-imatrix collects, and llama_model_quantize weighs the errors of a
column with. llama.cpp's public interface takes such a matrix but does not collect one, so the
activations are those of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.errors import StageError

if TYPE_CHECKING:
    import numpy as np

    Matrix = dict[str, np.ndarray[Any, np.dtype[np.float32]]]

CHUNK = 512
"""Tokens that are read at once, each chunk from an empty context, as llama-imatrix reads."""


def measure(
    model_dir: Path,
    chats: Iterable[Sequence[dict[str, str]]],
    out: Path,
    tokens: int,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the importance of every column of a model's linear layers, by GGUF name, to `out`
    (.npz), and return the tokens it was measured on.

    `chats` are conversations, written out with the model's template and cut into chunks, about
    `tokens` of them. `progress` gets the tokens read and those to read, and may raise to stop.
    Raises StageError when there is no text.
    """
    import numpy as np
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    chunks = _chunks(tokenizer, chats, tokens)
    total = sum(map(len, chunks))
    if not total:
        raise StageError(
            "there is no conversation to measure the importance of columns on",
            where=str(model_dir),
            expected="records with messages in the training data",
            do="set gguf.importance_tokens to 0, or make the dataset",
        )
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype="auto", local_files_only=True
    ).eval()
    sums: dict[str, Any] = {}

    def watch(name: str) -> Callable[[Any, Any], None]:
        def add(module: Any, inputs: Any) -> None:
            squares = inputs[0].detach().float().flatten(0, -2).square().sum(0)
            sums[name] = squares + sums[name] if name in sums else squares

        return add

    for source, name in _names(model):
        model.get_submodule(source).register_forward_pre_hook(watch(name))
    done = 0
    progress(done, total)
    with torch.inference_mode():
        for chunk in chunks:
            model(torch.tensor([chunk]))
            done += len(chunk)
            progress(done, total)
    matrix: Matrix = {name: (values / total).numpy() for name, values in sums.items()}
    for name, values in matrix.items():
        if not np.isfinite(values).all():
            raise StageError(f"the activations that enter {name} are NaN or infinite")
    with out.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **matrix)
    return total


def as_llama_cpp_takes_it(file: Path) -> Any:
    """The array of llama_model_imatrix_data that llama_model_quantize reads; it keeps the numbers
    alive."""
    import ctypes

    import llama_cpp
    import numpy as np

    with np.load(file) as loaded:
        matrix = {name: np.ascontiguousarray(loaded[name], np.float32) for name in loaded.files}
    entries = (llama_cpp.llama_model_imatrix_data * (len(matrix) + 1))()  # the last is null
    for entry, (name, values) in zip(entries, matrix.items(), strict=False):
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    entries.kept = matrix
    return entries


def _chunks(
    tokenizer: Any, chats: Iterable[Sequence[dict[str, str]]], tokens: int
) -> list[list[int]]:
    ids: list[int] = []
    for messages in chats:
        if len(ids) >= tokens:
            break
        rendered = tokenizer.apply_chat_template(messages, tokenize=False)
        ids += tokenizer(rendered, add_special_tokens=False)["input_ids"]
    ids = ids[:tokens]
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]


def _names(model: Any) -> list[tuple[str, str]]:
    """The linear layers of the blocks, and what their weights are called in a GGUF. The output is
    left out, as llama-imatrix leaves it out."""
    import gguf
    import torch

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    return [
        (source, f"{names.get_name(source)}.weight")
        for source, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in source
    ]
