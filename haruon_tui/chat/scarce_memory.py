"""How llama.cpp says that it has too little memory, and what to do then."""

from __future__ import annotations

FREE_MEMORY = "free memory, lower chat.context, or take a smaller quantization"

_WORDS = (
    "failed to allocate",  # a backend's buffer
    "ctx->mem_buffer != NULL",  # ggml's own
    "bad_alloc",  # C++
    "Cannot allocate memory",  # the system, of a file that is to be mapped
)


def lacks_memory(said: str) -> bool:
    """Whether these last words are of too little memory."""
    return any(words in said for words in _WORDS)
