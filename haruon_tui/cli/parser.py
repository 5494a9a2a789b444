"""The command tree. It imports nothing of the engine: `haruon --help` answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from haruon_tui import __version__

_STAGES = (
    "hardware",
    "dataset",
    "model",
    "train",
    "merge",
    "evaluate",
    "convert",
    "quantize",
    "compare",
    "chat",
)

_IMPORT_FORMATS = (
    "auto",
    "chatml",
    "sharegpt",
    "alpaca",
    "prompt-completion",
    "csv",
    "parquet",
    "hf-folder",
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse a command line. `handler` in the result is "module:function" in haruon_tui.cli."""
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="haruon",
        description="Take a language model from a base checkpoint to a phone. Without a command, "
        "the terminal program opens on this workspace.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"haruon {__version__}")
    parser.add_argument("--read-only", action="store_true", help="watch, start and stop nothing")
    _common(parser)
    parser.set_defaults(handler="tui:open_app")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    init = _command(commands, "init", "make a folder a workspace", "init:init")
    init.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="DIR")
    init.add_argument("--profile", default="tiny", choices=("tiny", "qwen2-1.5b"))
    init.add_argument("--force", action="store_true", help="write haruon.toml again")
    init.add_argument("--if-missing", action="store_true", help="leave a workspace as it is")

    doctor = _command(
        commands, "doctor", "check this machine against the profile", "hardware:doctor"
    )
    doctor.add_argument("--test", action="store_true", help="measure devices, memory and disk")
    doctor.add_argument(
        "--detach", action="store_true", help="with --test: start it and return at once"
    )
    monitor = _command(
        commands, "monitor", "CPU, memory, disk, network and GPU, live", "monitor:monitor"
    )
    monitor.add_argument("--count", type=int, default=0, help="samples; 0 goes on until Ctrl+C")
    monitor.add_argument("--interval", type=float, default=1.0, help="seconds between samples")

    advice = _command(commands, "advise", "what the runs say should be changed", "advise:advise")
    advice.add_argument("--apply", metavar="ID", help="write this change into haruon.toml")

    data = _group(commands, "data", "build and check datasets")
    _stage(data, "build", "dataset", "compose, validate, split")
    compose = _command(data, "compose", "write composed examples to a file", "data:compose")
    compose.add_argument("out", type=Path, metavar="FILE.jsonl")
    compose.add_argument("--count", type=int, default=900)
    compose.add_argument("--seed", type=int, default=7)
    importing = _command(
        data, "import", "make a dataset of another form ours", "dataset_import:import_dataset"
    )
    importing.add_argument("source", type=Path, metavar="SOURCE", help="a file or a folder")
    importing.add_argument("--out", type=Path, metavar="FILE.jsonl")
    importing.add_argument("--format", choices=_IMPORT_FORMATS, default="auto")
    importing.add_argument(
        "--columns", action="append", metavar="user=NAME,assistant=NAME", help="what is what"
    )
    importing.add_argument("--split", metavar="NAME", help="one split of a folder")
    importing.add_argument("--dry-run", action="store_true", help="show what it is, write nothing")
    importing.add_argument("--yes", action="store_true", help="do not ask")
    clean = _command(
        data, "clean", "fix what is safe, drop copies, set rejects aside", "dataset_clean:clean"
    )
    clean.add_argument("file", type=Path, metavar="FILE.jsonl")
    clean.add_argument("--out", type=Path, required=True, metavar="FILE|DIR")
    clean.add_argument("--rules", choices=("guide", "calibrated"))
    mix = _command(data, "mix", "mix golden, composed and own records", "dataset_mix:mix")
    mix.add_argument("files", nargs="*", type=Path, metavar="FILE.jsonl")
    mix.add_argument("--out", type=Path, required=True, metavar="DIR")
    mix.add_argument("--no-golden", action="store_true", help="leave the golden records out")
    mix.add_argument("--compose", type=int, default=0, metavar="COUNT")
    mix.add_argument(
        "--weights", default="", metavar="golden=3,…", help="times per record, by its source"
    )
    mix.add_argument("--augment", type=float, default=0.0, metavar="PER_RECORD")
    mix.add_argument("--augment-by", default="order,wording,length", metavar="HOW,HOW")
    mix.add_argument("--eval-fraction", type=float, default=0.05, metavar="SHARE")
    mix.add_argument("--seed", type=int, default=7)
    mix.add_argument("--rules", choices=("guide", "calibrated"))
    split = _command(data, "split", "a file into train.jsonl and eval.jsonl", "dataset_mix:split")
    split.add_argument("file", type=Path, metavar="FILE.jsonl")
    split.add_argument("--out", type=Path, required=True, metavar="DIR")
    split.add_argument("--eval-fraction", type=float, default=0.05, metavar="SHARE")
    split.add_argument("--seed", type=int, default=7)
    stats = _command(data, "stats", "counts, sources, levels, lengths", "dataset_clean:stats")
    stats.add_argument("file", type=Path, metavar="FILE.jsonl")
    stats.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="counts tokens with it")
    validate = _command(data, "validate", "check a JSONL dataset", "validate:validate")
    validate.add_argument("file", type=Path, metavar="FILE.jsonl")
    validate.add_argument("--rules", choices=("guide", "calibrated"))
    validate.add_argument(
        "--findings", type=Path, metavar="OUT.jsonl", help="write every finding as a line"
    )
    validate.add_argument(
        "--tokenizer", type=Path, metavar="FILE.json", help="default: the workspace's base's"
    )
    validate.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        choices=("style", "persona", "evidence", "tokens", "set"),
        help="groups of rules not to check",
    )
    generate = _command(
        data, "generate", "examples from an OpenAI-compatible server", "generate:generate"
    )
    generate.add_argument(
        "--dry-run", action="store_true", help="show count, tokens and cost; ask nothing"
    )
    generate.add_argument("--yes", action="store_true", help="do not ask before spending money")
    _job_options(generate)
    view = _command(data, "view", "browse any JSONL file in the terminal", "tui:view")
    view.add_argument("file", type=Path, metavar="FILE.jsonl")

    model = _group(commands, "model", "get the base model")
    fetch = _command(model, "fetch", "build or fetch the base, let it speak once", "model:fetch")
    fetch.set_defaults(stage="model")
    _job_options(fetch)
    card = _command(model, "card", "what a model is, from its files", "model:card")
    card.add_argument("model", nargs="?", metavar="FOLDER", help="default: the workspace's base")
    adopt = _command(model, "adopt", "make a folder the workspace's base", "model:adopt")
    adopt.add_argument("folder", type=Path, metavar="FOLDER")
    adopt.add_argument("--yes", action="store_true", help="do not ask")
    probe = _command(model, "probe", "let an untuned model speak", "model:probe")
    probe.add_argument(
        "model", nargs="?", metavar="FOLDER|NAME", help="default: the workspace's base"
    )
    probe.add_argument("--prompt", help="a question of your own (default: the guide's)")
    probe.add_argument("--detach", action="store_true", help="start it and return at once")

    train = _stage(commands, "train", "train", "fine-tune the base model")
    train.set_defaults(handler="train:train")
    train.add_argument(
        "--commands",
        action="store_true",
        dest="print_commands",
        help="print what several processes are started with, for each machine, and start nothing",
    )
    train.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    more = train.add_subparsers(title="commands", metavar="[chart]")
    chart = _command(more, "chart", "curves as SVG, PNG or CSV", "train_chart:chart")
    chart.add_argument(
        "runs", nargs="*", metavar="RUN", help="the first with the others beside it"
    )
    chart.add_argument("--out", type=Path, required=True, metavar="FILE.svg|png|csv")
    chart.add_argument("--smoothing", type=float, default=0.9, help="weight of the past; 0: none")
    chart.add_argument("--log", action="store_true", help="a logarithmic axis for the loss")
    chart.add_argument("--force", action="store_true", help="replace FILE where it is there")
    _stage(commands, "merge", "merge", "merge the adapter into the base")
    evaluate = _command(
        commands, "evaluate", "write reports with models, and score them", "evaluate:evaluate"
    )
    evaluate.set_defaults(stage="evaluate")
    evaluate.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME|PATH",
        help="base, adapter, tuned, F16, Q4_K_M, …, all, or a path; may be repeated "
        "(default: base and tuned)",
    )
    evaluate.add_argument(
        "--cases",
        action="append",
        type=Path,
        default=[],
        metavar="FILE.jsonl",
        help="cases of your own instead of the workspace's; may be repeated",
    )
    evaluate.add_argument(
        "--html", type=Path, metavar="FILE", help="write the report as one HTML file"
    )
    evaluate.add_argument("--history", action="store_true", help="the figures of every run")
    evaluate.add_argument(
        "--compare", nargs=2, metavar="RUN[:MODEL]", help="what got better and worse between two"
    )
    _job_options(evaluate)

    gguf = _group(commands, "gguf", "convert, verify, quantize, compare")
    _stage(gguf, "convert", "convert", "merged model to GGUF, with proof")
    _stage(gguf, "quantize", "quantize", "make the quantized files")
    _stage(gguf, "compare", "compare", "size, load time and speed of each file")
    verify = _command(gguf, "verify", "prove a GGUF equal to its source", "gguf:verify")
    verify.add_argument("gguf", type=Path, metavar="MODEL.gguf")
    verify.add_argument("--against", type=Path, metavar="HF_FOLDER", required=True)
    export = _command(gguf, "export", "convert and prove any model folder", "gguf:export")
    export.add_argument("folder", type=Path, metavar="HF_FOLDER")
    export.add_argument("out", type=Path, metavar="MODEL.gguf")
    export.add_argument("--type", choices=("F16", "BF16", "F32", "Q8_0"), default="F16")
    export.add_argument("--name", help="what chat programs show (default: the folder's)")
    sizes = _command(gguf, "sizes", "what each quantization would weigh", "gguf:sizes")
    sizes.add_argument("gguf", type=Path, metavar="MODEL.gguf")
    table = _command(gguf, "table", "the comparison, or write it to a file", "gguf_table:table")
    table.add_argument("--format", choices=("csv", "md", "json"), help="default: by the file")
    table.add_argument("--out", type=Path, metavar="FILE", help="write it there")
    table.add_argument("--force", action="store_true", help="replace FILE where it is there")
    table.add_argument("--phone", metavar="NAME", help="whose limits count")

    export = _group(commands, "export", "hand the model on")
    app = _command(export, "app", "a folder for the app's team", "export_app:export_app")
    app.add_argument("--gguf", metavar="TYPE|FILE", help="default: what the comparison recommends")
    app.add_argument("--out", type=Path, metavar="DIR", help="default: export/app here")
    app.add_argument("--force", action="store_true", help="replace DIR where it is there")
    app.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting for this export, over haruon.toml; may be repeated",
    )
    app.add_argument("--detach", action="store_true", help="start it and return at once")

    card = _command(export, "card", "the model card, by the manifests", "export_card:export_card")
    card.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: print it")
    card.add_argument("--force", action="store_true", help="replace FILE, whatever it is")

    push = _command(export, "push", "the GGUF and its card to the Hub", "export_push:export_push")
    push.add_argument("repository", metavar="OWNER/NAME")
    push.add_argument(
        "--gguf", action="append", default=[], metavar="TYPE", help="may be repeated; default: all"
    )
    push.add_argument("--public", action="store_true", help="make it for all to see, if it is new")
    push.add_argument("--yes", action="store_true", help="do not ask before replacing")
    push.add_argument("--detach", action="store_true", help="start it and return at once")
    push.set_defaults(set=[])

    copy = _command(
        export, "copy", "the lines that bring it to a laptop, and check it", "export_copy:copy"
    )
    copy.add_argument(
        "what", nargs="?", metavar="TYPE|PATH", help="default: the export, else the GGUF to choose"
    )
    copy.add_argument(
        "--from", dest="origin", metavar="USER@HOST", help="default: this user and machine"
    )
    copy.add_argument("--to", default=".", metavar="DIR", help="the folder on the laptop")

    chat = _command(commands, "chat", "talk to a GGUF model or a server", "chat:chat")
    chat.add_argument(
        "model",
        nargs="?",
        metavar="MODEL.gguf",
        help="a file, a type such as Q4_K_M, or an address such as http://localhost:8000/v1",
    )
    chat.add_argument("--prompt", help="one question instead of a conversation")
    chat.add_argument(
        "--system", metavar="TEXT", help="system prompt (default: the persona's; '' for none)"
    )
    chat.add_argument("--case", help="ask an evaluation case by its id, or 'first'", metavar="ID")
    for name, kind in (
        ("temperature", float),
        ("top-p", float),
        ("top-k", int),
        ("min-p", float),
        ("repeat-penalty", float),
        ("seed", int),
        ("max-tokens", int),
    ):
        chat.add_argument(f"--{name}", type=kind, metavar="N")
    _model_options(chat)
    serve = _command(
        commands, "serve", "a GGUF model as an OpenAI-compatible server", "serve:serve"
    )
    serve.add_argument(
        "model", nargs="?", metavar="MODEL.gguf", help="a file, or a type such as Q4_K_M"
    )
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    serve.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1, loopback"
    )
    serve.add_argument(
        "--api-key-env", metavar="NAME", help="the variable with the key that clients must send"
    )
    _model_options(serve)

    pipeline = _command(commands, "pipeline", "run every stage that is not done", "stage:pipeline")
    pipeline.add_argument("--from", dest="first", choices=_STAGES, metavar="STAGE")
    pipeline.add_argument("--to", dest="last", choices=_STAGES, metavar="STAGE")
    _job_options(pipeline)

    jobs = _group(commands, "jobs", "see and steer jobs")
    listing = _command(jobs, "list", "all runs, newest first", "jobs:list_runs")
    listing.add_argument("--active", action="store_true", help="only those under way")
    for name, what in (
        ("show", "parameters, state and result of a run"),
        ("logs", "a run's log and output"),
        ("attach", "follow a run until it ends"),
        ("stop", "stop a run at its next checkpoint"),
        ("resume", "go on with a stopped, failed or crashed run"),
    ):
        _command(jobs, name, what, f"jobs:{name}").add_argument("run", metavar="RUN")
    prune = _command(jobs, "prune", "delete runs that nothing needs", "jobs:prune")
    prune.add_argument("runs", nargs="*", metavar="RUN")
    prune.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _common(parser: argparse.ArgumentParser, *, inherit: bool = False) -> None:
    default: Any = argparse.SUPPRESS if inherit else None
    parser.add_argument(
        "-C",
        "--workspace",
        type=Path,
        default=default,
        metavar="DIR",
        help="the workspace (default: this folder or the nearest above it)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=default or False,
        help="one JSON document on stdout and nothing else there",
    )
    parser.add_argument(
        "--debug", action="store_true", default=default or False, help="tracebacks"
    )


def _command(commands: Any, name: str, what: str, handler: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False
    )
    _common(parser, inherit=True)
    parser.set_defaults(handler=handler)
    return parser


def _group(commands: Any, name: str, what: str) -> Any:
    parser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False
    )
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _stage(commands: Any, name: str, stage: str, what: str) -> argparse.ArgumentParser:
    parser = _command(commands, name, what, "stage:run_stage")
    parser.set_defaults(stage=stage)
    _job_options(parser)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", type=int, metavar="TOKENS", help="default: chat.context")
    parser.add_argument("--threads", type=int, metavar="N", help="default: chat.threads")
    parser.add_argument("--gpu-layers", type=int, metavar="N", help="default: chat.gpu_layers")


def _job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting for this run, over haruon.toml; may be repeated",
    )
    parser.add_argument("--detach", action="store_true", help="start it and return at once")
    parser.add_argument("--force", action="store_true", help="run finished work again")
