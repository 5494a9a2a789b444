"""Batches: in what order examples are taken, and how they are laid side by side.

This module imports torch; only a stage that trains imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from haruon_tui.training.examples import IGNORED


class Order(Sampler[int]):
    """An order of examples, at random or with those of like length in one batch.

    It depends on the seed and the epoch alone, so that a resumed training goes on in the same
    order.
    """

    def __init__(self, lengths: list[int], batch: int, seed: int, *, grouped: bool) -> None:
        self._lengths = lengths
        self._batch = batch
        self._seed = seed
        self._grouped = grouped
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        chooser = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        if self._grouped:
            return iter(get_length_grouped_indices(self._lengths, self._batch, generator=chooser))
        return iter(torch.randperm(len(self._lengths), generator=chooser).tolist())


LENGTH_STEP = {"cuda": 64}
"""By device, what the length of a batch is a multiple of: cuDNN's attention takes a tenth of a
second to plan for each length that it has not seen (`python -m bench gpu_training`)."""


def collate(examples: list[dict[str, Any]], padding: int, step: int = 1) -> dict[str, Any]:
    """Lay examples of `input_ids` and `labels` side by side, padded on the right to a multiple of
    `step` tokens.

    Besides the usual tensors of shape (batch, length): `places` and `targets`, both (labels,), the
    positions from which a labelled token is predicted, counted row by row, and that token; and
    `tokens`, how many are not padding. They are made here, before the batch goes to a GPU, which
    would have to be waited for to ask it.
    """
    rows = [torch.tensor(example["input_ids"]) for example in examples]
    answers = [torch.tensor(example["labels"]) for example in examples]
    length = -(-max(len(row) for row in rows) // step) * step
    shape = (len(rows), length)
    ids = torch.full(shape, padding, dtype=torch.long)
    labels = torch.full(shape, IGNORED, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    for at, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        ids[at, : len(row)] = row
        labels[at, : len(row)] = answer
        mask[at, : len(row)] = 1
    labels[:, 0] = IGNORED  # nothing comes before it from which it could be predicted
    after = labels[:, 1:]
    row_of, column = (after != IGNORED).nonzero(as_tuple=True)
    return {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": mask,
        "places": row_of * length + column,
        "targets": after[row_of, column],
        "tokens": sum(len(row) for row in rows),
    }
