"""Whether a quantized model keeps the limits of a phone: data/phones.

Sizes and memory are exact: the file's bytes, and llama.cpp's own buffers at the context of the
app, the weights as they lie in the file, as a phone's GPU reads them. Times are estimates. To
write one token, every weight and the whole cache is read once, and that is what bounds decoding on
a phone (Williams, Waterman, Patterson 2009, the roofline model):

    seconds per token = (tensor bytes + cache bytes) / (bandwidth x efficiency)

with the efficiency that llama.cpp reached on phones, as a range. Loading reads the file from the
storage once. Prompt reading is left out: it is bound by arithmetic, not by bandwidth.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

Row = dict[str, Any]
Verdict = Literal["kept", "open", "broken"]
"""`open`: the limit lies inside the range of the estimate."""


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes that may not be exceeded; a report has `report_tokens`."""

    load_seconds: float
    report_tokens: int
    report_seconds: float
    app_bytes: int
    memory_bytes: int
    source: str = ""


@dataclass(frozen=True)
class Phone:
    """Bandwidth of the memory, and the range of the storage's, in GB/s."""

    name: str
    chip: str
    memory_gb_per_s: float
    storage_gb_per_s: tuple[float, float]
    memory_gb: float
    source: str


@dataclass(frozen=True)
class Figure:
    """A quantity against its limit, from `least` to `most`; both are equal where it is measured.
    Bytes or seconds."""

    name: str
    least: float
    most: float
    limit: float
    unit: Literal["bytes", "seconds"]
    estimated: bool

    @property
    def verdict(self) -> Verdict:
        if self.most <= self.limit:
            return "kept"
        return "broken" if self.least > self.limit else "open"


@dataclass(frozen=True)
class Phones:
    """What data/phones says."""

    limits: Limits
    app_bytes_besides_model: int
    efficiency: tuple[float, float]
    phones: tuple[Phone, ...]
    target: Phone


def load(text: str | None = None) -> Phones:
    """Read data/phones/phones.json, or the JSON in `text`."""
    if text is None:
        text = (resources.files("haruon_tui.data.phones") / "phones.json").read_text("utf-8")
    read = json.loads(text)
    phones = tuple(
        Phone(**{**phone, "storage_gb_per_s": tuple(phone["storage_gb_per_s"])})
        for phone in read["phones"]
    )
    return Phones(
        limits=Limits(**read["limits"]),
        app_bytes_besides_model=read["app_bytes_besides_model"],
        efficiency=(read["efficiency"]["least"], read["efficiency"]["most"]),
        phones=phones,
        target=next(phone for phone in phones if phone.name == read["target"]),
    )


def budget(row: Row, phone: Phone, known: Phones) -> list[Figure]:
    """The four limits for a measured row of the comparison: app, memory, load, report."""
    limits, buffers = known.limits, row["buffers"]
    read = buffers["model"] + buffers.get("KV", 0)
    slow, fast = (share * phone.memory_gb_per_s * 1e9 for share in known.efficiency)
    slow_disk, fast_disk = (rate * 1e9 for rate in phone.storage_gb_per_s)
    app = row["bytes"] + known.app_bytes_besides_model
    memory = sum(buffers.values())
    return [
        Figure("app", app, app, limits.app_bytes, "bytes", estimated=False),
        Figure("memory", memory, memory, limits.memory_bytes, "bytes", estimated=False),
        Figure(
            "load",
            row["bytes"] / fast_disk,
            row["bytes"] / slow_disk,
            limits.load_seconds,
            "seconds",
            estimated=True,
        ),
        Figure(
            f"{limits.report_tokens} tokens",
            limits.report_tokens * read / fast,
            limits.report_tokens * read / slow,
            limits.report_seconds,
            "seconds",
            estimated=True,
        ),
    ]
