"""Ways in which a GGUF of the tied test model can be broken, each a change of its bytes."""

from __future__ import annotations

from collections.abc import Callable


def little(*values: int) -> bytes:
    """Header fields of a GGUF: version in 4 bytes, counts in 8."""
    return (
        b"GGUF"
        + values[0].to_bytes(4, "little")
        + b"".join(value.to_bytes(8, "little") for value in values[1:])
    )


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut in the header": lambda whole: whole[:20],
    "cut in the metadata": lambda whole: whole[:3000],
    "cut in the weights": lambda whole: whole[:2_000_000],
    "wrong magic": lambda whole: b"LMAO" + whole[4:],
    "a version to come": lambda whole: whole[:4] + b"\xff\0\0\0" + whole[8:],
    "an absurd number of tensors": lambda whole: little(3, 1 << 60, 1) + whole[24:],
    "an absurd number of keys": lambda whole: little(3, 26, 1 << 60) + whole[24:],
    "an absurd length of a text": lambda whole: (
        whole[:24] + (1 << 62).to_bytes(8, "little") + whole[32:]
    ),
    "an absurd number of tokens": lambda whole: whole.replace(
        (640).to_bytes(8, "little"), (1 << 61).to_bytes(8, "little"), 1
    ),
    "an offset beyond the end": lambda whole: whole.replace(
        b"output_norm.weight" + (1).to_bytes(4, "little") + (256).to_bytes(8, "little"),
        b"output_norm.weight" + (1).to_bytes(4, "little") + (1 << 50).to_bytes(8, "little"),
    ),
    "an architecture nobody knows": lambda whole: whole.replace(b"qwen2", b"qwenX", 1),
}
