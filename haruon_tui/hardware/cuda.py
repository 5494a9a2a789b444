"""Which NVIDIA driver and which GPU a build for CUDA needs.

Sources: "CUDA Toolkit and Corresponding Driver Versions" in NVIDIA's CUDA Toolkit Release Notes
(https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/), and for the least driver of each major
version https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html: a
program built for CUDA x.y runs on any driver of x.0 or newer, with a limited set of features.
Compute capabilities: the CUDA 13.0 release notes (offline compilation for Maxwell, Pascal and
Volta was removed), and 5.0 for CUDA 12.
"""

from __future__ import annotations

Version = tuple[int, ...]

DRIVER_OF: dict[Version, Version] = {
    (11, 0): (450, 51, 5),
    (11, 1): (455, 23),
    (11, 2): (460, 27, 3),
    (11, 3): (465, 19, 1),
    (11, 4): (470, 42, 1),
    (11, 5): (495, 29, 5),
    (11, 6): (510, 39, 1),
    (11, 7): (515, 43, 4),
    (11, 8): (520, 61, 5),
    (12, 0): (525, 60, 13),
    (12, 1): (530, 30, 2),
    (12, 2): (535, 54, 3),
    (12, 3): (545, 23, 6),
    (12, 4): (550, 54, 14),
    (12, 5): (555, 42, 2),
    (12, 6): (560, 28, 3),
    (12, 8): (570, 26),
    (12, 9): (575, 51, 3),
    (13, 0): (580, 65, 6),
}
"""The Linux driver that came with each CUDA version: the oldest that supports all of it."""

LEAST_DRIVER: dict[int, Version] = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580, 65, 6)}
"""The oldest driver that runs any program built for this major version."""

LEAST_CAPABILITY: dict[int, tuple[int, int]] = {11: (3, 5), 12: (5, 0), 13: (7, 5)}
"""The oldest GPU that this major version compiles for."""

BF16 = FLASH_ATTENTION = (8, 0)
"""Ampere: bf16 in the tensor cores (CUDA C++ Programming Guide, "Features and Technical
Specifications"), and what flash-attention 2 and PyTorch's flash kernel ask for."""


def version(text: str | None) -> Version | None:
    """`550.54.14` as numbers; None for what is no version."""
    try:
        return tuple(int(part) for part in (text or "").split(".")) or None
    except ValueError:
        return None


def newest_cuda(driver: Version) -> Version | None:
    """The newest CUDA in the table that this driver supports in full."""
    return max((cuda for cuda, oldest in DRIVER_OF.items() if driver >= oldest), default=None)


def dotted(numbers: Version) -> str:
    return ".".join(str(number) for number in numbers)
