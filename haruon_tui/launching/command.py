"""The command that starts the ranks of a training: `accelerate launch`, on every machine once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Strategy = Literal["ddp", "fsdp"]

_FSDP = (
    "--use_fsdp",
    "--fsdp_version=2",
    "--fsdp_auto_wrap_policy=TRANSFORMER_BASED_WRAP",
    "--fsdp_state_dict_type=FULL_STATE_DICT",
    "--fsdp_reshard_after_forward=true",
    "--fsdp_cpu_ram_efficient_loading=false",
)


@dataclass(frozen=True)
class Ranks:
    """`processes` on each of `machines`; the others find the first at `address`:`port`."""

    processes: int
    machines: int = 1
    strategy: Strategy = "ddp"
    address: str = ""
    port: int = 29500
    threads: int = 1
    """Of each process on the CPU."""

    @property
    def total(self) -> int:
        return self.processes * self.machines

    def command(self, machine: int, work: Sequence[str]) -> list[str]:
        """What machine number `machine`, counted from 0, has to run. `work` are the arguments of
        the rank's program. Everything is said, so that a configuration file of accelerate's on
        one of the machines changes nothing."""
        where = ["--main_process_port=0"]  # any that is free
        if self.machines > 1:
            where = [
                f"--machine_rank={machine}",
                f"--main_process_ip={self.address}",
                f"--main_process_port={self.port}",
            ]
        return [
            sys.executable,
            "-P",  # a file in the current folder must not shadow a library
            "-m",
            "accelerate.commands.launch",
            *(_FSDP if self.strategy == "fsdp" else ("--multi_gpu",)),
            f"--num_processes={self.total}",
            f"--num_machines={self.machines}",
            *where,
            f"--num_cpu_threads_per_process={self.threads}",
            "--mixed_precision=no",  # the training decides it
            "--dynamo_backend=no",
            "-m",
            "haruon_tui.launching.rank",
            *work,
        ]


def shown(command: Sequence[str]) -> str:
    """A command as a shell takes it."""
    return shlex.join(command)
