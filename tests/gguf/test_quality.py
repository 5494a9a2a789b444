"""The comparison's quality figures are those of llama-perplexity's definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from haruon_tui.comparison import quality
from haruon_tui.comparison.divergence import CHUNK, SCORED, Array, Baseline, score, summary
from haruon_tui.errors import StageError, Stopped
from haruon_tui.gguf.quantize import quantize

from .conftest import SENTENCES


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(SENTENCES * 40), encoding="utf-8")
    return path


def random_logits(rows: int, vocabulary: int, seed: int) -> Array:
    drawn = np.random.default_rng(seed).normal(scale=2.0, size=(rows, vocabulary))
    logits: Array = drawn.astype(np.float32)
    return logits


def log_softmax(logits: Array) -> Array:
    wide: Array = logits.astype(np.float64)
    normal: Array = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return normal


def test_the_figures_are_those_of_their_definitions(tmp_path: Path) -> None:
    base, model = random_logits(100, 300, 1), random_logits(100, 300, 2) * 0.1
    model += base
    truth = np.random.default_rng(3).integers(0, 300, 100)
    kept = Baseline(tmp_path / "base.bin", 300, 100)
    kept.create()
    kept.put(0, base[:60])
    kept.put(60, base[60:])
    found = summary(score(model, kept.get(0, 100), truth))

    log_p, log_q = log_softmax(base), log_softmax(model)
    at = np.arange(100)
    nll = -log_q[at, truth]
    change = np.exp(log_q[at, truth]) - np.exp(log_p[at, truth])
    expected = {
        "perplexity": np.exp(nll.mean()),
        "perplexity_ratio": np.exp((nll + log_p[at, truth]).mean()),
        "divergence": (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean(),
        "same_top": np.mean(log_p.argmax(axis=1) == log_q.argmax(axis=1)),
        "rms_probability_change": np.sqrt(np.square(change).mean()),
    }
    assert found["tokens"] == 100
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-3), name
    assert found["perplexity"][1] == pytest.approx(
        np.exp(nll.mean()) * nll.std(ddof=1) / 10, rel=1e-3
    )


def test_a_quantized_file_is_compared_with_the_kept_baseline(
    tied_gguf: Path, text: Path, tmp_path: Path
) -> None:
    small = tmp_path / "model.Q4_0.gguf"
    quantize(tied_gguf, small, "Q4_0")
    kept = tmp_path / "base.bin"
    base = quality.measure(tied_gguf, text=text, chunks=2, baseline=kept, is_baseline=True)
    written = kept.stat().st_mtime_ns
    shares: list[float] = []
    row = quality.measure(
        small,
        text=text,
        chunks=2,
        baseline=kept,
        is_baseline=False,
        progress=lambda share, phase: shares.append(share),
    )
    assert base["chunks"] == row["chunks"] == 2
    assert row["tokens"] == 2 * SCORED
    assert base["divergence"][0] < 1e-6 < row["divergence"][0]
    assert row["same_top"][0] < base["same_top"][0]
    assert shares == [0.5, 1.0]
    assert kept.stat().st_mtime_ns == written


def test_a_text_shorter_than_a_chunk_is_refused(tied_gguf: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("짧은 글", encoding="utf-8")
    with pytest.raises(StageError, match="tokens") as failure:
        quality.measure(tied_gguf, text=short, chunks=1, baseline=tmp_path / "b", is_baseline=True)
    assert str(CHUNK) in str(failure.value.expected)
    assert str(short) in str(failure.value.where)


def test_a_baseline_that_was_stopped_on_its_way_is_none(
    tied_gguf: Path, text: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "base.bin"
    shares: list[float] = []
    with pytest.raises(Stopped):
        quality.measure(
            tied_gguf,
            text=text,
            chunks=2,
            baseline=kept,
            is_baseline=True,
            progress=lambda share, phase: shares.append(share),
            stop_requested=lambda: bool(shares),
        )
    assert not kept.exists()
    with pytest.raises(StageError, match="no predictions to compare with"):
        quality.measure(tied_gguf, text=text, chunks=2, baseline=kept, is_baseline=False)


def test_a_baseline_of_another_text_is_refused(
    tied_gguf: Path, text: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "base.bin"
    quality.measure(tied_gguf, text=text, chunks=1, baseline=kept, is_baseline=True)
    with pytest.raises(StageError, match="splits the text otherwise") as failure:
        quality.measure(tied_gguf, text=text, chunks=2, baseline=kept, is_baseline=False)
    assert str(kept) in str(failure.value.where)
