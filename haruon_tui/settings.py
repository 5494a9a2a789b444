"""haruon.toml: the typed settings of a workspace, and errors that name the line and the key."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from haruon_tui import profiles
from haruon_tui.errors import ConfigurationError

Quantization = Literal["Q4_0", "Q4_1", "IQ4_XS", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"]
ProfileName = Literal["tiny", "qwen2-1.5b"]
RecipeName = Literal["guide-qlora", "guide-lora", "recommended"]
Precision = Literal["auto", "bf16", "fp16", "fp32"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class ModelSettings(Section):
    base: str = Field(
        description='"tiny" (built here, offline), a Hugging Face name, or a local folder'
    )
    revision: str = Field("main", description="branch, tag or commit on the Hub")
    trust_remote_code: str = Field(
        "", description="the base's name again, to let it run the Python code it brings"
    )


class DatasetSettings(Section):
    golden: bool = Field(description="train on the golden reports that come with the program")
    compose: int = Field(
        ge=0, le=1_000_000, description="examples made offline, balanced over trait levels"
    )
    files: list[str] = Field(
        default_factory=list, description="JSONL files of your own, relative to the workspace"
    )
    golden_weight: float = Field(
        1.0,
        ge=0.0,
        le=100.0,
        description="times that a golden record is trained on; 2.5 is every one twice, half of "
        "them once more",
    )
    composed_weight: float = Field(
        1.0, ge=0.0, le=100.0, description="the same for composed records"
    )
    generated_weight: float = Field(
        1.0, ge=0.0, le=100.0, description="the same for generated records among your files"
    )
    file_weight: float = Field(
        1.0, ge=0.0, le=100.0, description="the same for the other records of your files"
    )
    augment: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="records made from each record by putting its answers differently",
    )
    augment_by: list[Literal["order", "wording", "length"]] = Field(
        default_factory=lambda: ["order", "wording", "length"],  # type: ignore[arg-type]
        description="how: order of sentences, other words and endings, shorter or longer",
    )
    eval_fraction: float = Field(
        ge=0.0, lt=0.5, description="share held out to measure the loss while training"
    )
    split: Literal["stratified", "shuffled"] = Field(
        "stratified",
        description="stratified holds out every source and level by its share, and what is alike "
        "together; shuffled draws at random",
    )
    rules: Literal["guide", "calibrated"] = Field(
        "calibrated", description="which rule set a record must pass"
    )
    seed: int = Field(7, ge=0, description="the same seed gives the same dataset")


class TrainSettings(Section):
    recipe: RecipeName = Field(
        "recommended", description="a named set of values; a key below overrides its value"
    )
    method: Literal["lora", "qlora", "dora", "rslora", "full"] = Field(
        description="what is trained: an adapter (lora; rslora scales it by alpha/sqrt(r); dora "
        "also learns the size of each output; qlora on a base in 4 bits), or the whole (full)"
    )
    engine: Literal["built-in", "llamafactory"] = Field(
        "built-in",
        description="what trains: this program, or LLaMA-Factory from an environment of its own",
    )
    llamafactory_cli: str = Field(
        "llamafactory-cli", description="the program, for that engine: a path, or found on PATH"
    )
    rank: int = Field(ge=1, le=1024, description="LoRA rank r")
    alpha: int = Field(ge=1, le=4096, description="LoRA alpha; the update is scaled by alpha/r")
    dropout: float = Field(ge=0.0, lt=1.0, description="LoRA dropout")
    targets: list[str] | Literal["all-linear"] = Field(description="modules that get an adapter")
    loss_on: Literal["assistant", "all"] = Field(description="which tokens the loss counts")
    learning_rate: float = Field(gt=0.0, le=1.0, description="peak learning rate")
    scheduler: Literal["cosine", "linear", "constant"] = Field(description="after the warm-up")
    warmup: float = Field(ge=0.0, description="steps, or a share of all steps when it is below 1")
    epochs: float = Field(gt=0.0, le=1000.0, description="passes over the training examples")
    batch_size: int = Field(ge=1, le=4096, description="examples on the device at once")
    accumulation: int = Field(ge=1, le=4096, description="batches per optimizer step")
    batching: Literal["random", "grouped"] = Field(
        "grouped",
        description="which examples share a batch: grouped takes like lengths, random any",
    )
    kernels: Literal["standard", "fused"] = Field(
        "fused",
        description="standard computes as TRL and PEFT do; fused the same in fewer passes, and "
        "no logits where there is no label; Liger's kernels on a GPU that has them",
    )
    max_length: int = Field(ge=32, le=131072, description="longest example, in tokens")
    too_long: Literal["leave out", "refuse"] = Field(
        "leave out",
        description="what becomes of a longer one; none is ever cut, as its end teaches to stop",
    )
    weight_decay: float = Field(ge=0.0, le=1.0, description="AdamW weight decay")
    max_grad_norm: float = Field(gt=0.0, description="gradients are clipped to this norm")
    precision: Precision = Field(description='"auto" takes bf16 where the hardware has it')
    gradient_checkpointing: bool = Field(description="less memory for about a third more time")
    log_every: int = Field(ge=1, description="steps between two points of the curve")
    eval_every: int = Field(ge=1, description="steps between two evaluations and checkpoints")
    sample_every: int = Field(
        100, ge=0, description="steps between two looks at what the model answers; 0 takes none"
    )
    sample_tokens: int = Field(
        64, ge=1, le=4096, description="longest of these answers, in tokens"
    )
    keep_checkpoints: int = Field(ge=1, le=100, description="the best one is kept besides")
    on_out_of_memory: Literal["smaller batches", "fail"] = Field(
        "smaller batches",
        description="takes fewer at once and accumulates more, ahead by estimate and whenever "
        "memory runs out; or ends with an error",
    )
    early_stopping: int = Field(
        0,
        ge=0,
        le=1000,
        description="ends after so many evaluations without a better one; 0: never",
    )
    seed: int = Field(7, ge=0, description="order of the data and start of the adapter")
    deterministic: bool = Field(
        False, description="only kernels that give the same bits each time; slower on a GPU"
    )
    processes: int = Field(
        1, ge=1, le=1024, description="that train together on each machine, one for each GPU"
    )
    machines: int = Field(
        1, ge=1, le=1024, description="that train together; each is given a command to run"
    )
    main_address: str = Field(
        "", description="name or address of the first machine, where there are several"
    )
    main_port: int = Field(
        29500, ge=1, le=65535, description="of the first machine, free, and open to the others"
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="ddp: every process holds the whole model; fsdp: each holds a share of it",
    )
    global_batch: Literal["keep", "grow"] = Field(
        "keep",
        description="of several processes: keep shares batch_size x accumulation among them, "
        "grow lets each do it all",
    )


class EvaluateSettings(Section):
    max_new_tokens: int = Field(ge=16, le=8192, description="longest report, in tokens")
    batch_size: int = Field(ge=1, le=1024, description="reports written at once")
    processes: int = Field(
        1, ge=1, le=64, description="that share the reports, one for each GPU; GGUF files need one"
    )
    limit: int = Field(0, ge=0, description="cases per group; 0 takes all")
    cases: list[str] = Field(
        default_factory=list,
        description="JSONL files with cases of your own, relative to the workspace",
    )
    seed: int = Field(7, ge=0, description="of the samples that the intervals are drawn from")
    min_complete: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="the bar: `haruon evaluate` exits 1 where fewer of the last model's reports "
        "have every section; 0 asks nothing",
    )
    min_levels_exact: float = Field(
        0.0, ge=0.0, le=1.0, description="the same for trait levels right"
    )
    min_levels_within_one: float = Field(
        0.0, ge=0.0, le=1.0, description="for trait levels at most one step off"
    )
    min_safe: float = Field(
        0.0, ge=0.0, le=1.0, description="for reports with nothing forbidden in them"
    )
    min_valid: float = Field(
        0.0, ge=0.0, le=1.0, description="for reports that are valid under every rule"
    )
    min_grounded: float = Field(
        0.0, ge=0.0, le=1.0, description="for the share of a report's quotes that the answers hold"
    )
    min_stopped: float = Field(
        0.0, ge=0.0, le=1.0, description="for reports that the model ended by itself"
    )
    min_persona: float = Field(
        0.0, ge=0.0, le=1.0, description="for the mean of the five persona qualities"
    )
    judge_model: str = Field(
        "", description="a model that gives its opinion on each report; empty: none is asked"
    )
    judge_base_url: str = Field(
        "", description="its OpenAI-compatible server; empty takes OPENAI_BASE_URL, else OpenAI"
    )
    judge_api_key_env: str = Field(
        "OPENAI_API_KEY", description="the NAME of the variable with its key, never the key"
    )


class GgufSettings(Section):
    quantize: list[Quantization] = Field(description="which files to make from the F16 one")
    importance_tokens: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="tokens of the training data that show which columns of a weight matter most "
        "when it is quantized (an importance matrix); 0: all alike",
    )
    prompt_tokens: int = Field(ge=8, description="length of the speed test's prompt")
    generate_tokens: int = Field(ge=8, description="tokens the speed test writes")
    repeats: int = Field(ge=1, le=100, description="runs of the speed test")
    quality_chunks: int = Field(
        8, ge=1, description="chunks of 512 held-out tokens that quality is measured on"
    )
    report_cases: int = Field(
        8, ge=0, description="evaluation cases that each file writes a report for"
    )


class ChatSettings(Section):
    temperature: float = Field(ge=0.0, le=5.0, description="0 always takes the likeliest token")
    top_p: float = Field(0.95, gt=0.0, le=1.0, description="nucleus sampling")
    max_tokens: int = Field(ge=1, le=32768, description="longest answer")
    context: int = Field(ge=64, le=131072, description="context length in tokens")
    seed: int = Field(7, ge=0, description="seed of the sampler")
    top_k: int = Field(40, ge=0, description="so many likeliest tokens count; 0 counts all")
    min_p: float = Field(
        0.05, ge=0.0, le=1.0, description="tokens below this share of the likeliest do not count"
    )
    repeat_penalty: float = Field(
        1.0, gt=0.0, le=3.0, description="above 1 what was just written gets less likely"
    )
    stop: list[str] = Field(
        default_factory=list, description="the answer ends before any of these texts"
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0 suits them to the model")
    gpu_layers: int = Field(0, ge=-1, description="layers on the GPU; -1 puts all there")


class GenerateSettings(Section):
    provider: Literal["openai", "composer"] = Field(
        "openai", description="openai: any OpenAI-compatible server; composer: offline, no key"
    )
    base_url: str = Field(
        "", description="e.g. http://localhost:8000/v1; empty takes OPENAI_BASE_URL, else OpenAI"
    )
    other_urls: list[str] = Field(
        default_factory=list,
        description="further servers of the same model: requests are spread over all of them, "
        "and one that dies is left out",
    )
    model: str = Field("", description="the model's name at that server; empty: none is chosen")
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="the NAME of the variable with the key, never the key"
    )
    count: int = Field(ge=1, le=10_000, description="examples wanted, balanced over levels")
    examples: int = Field(
        2, ge=0, le=5, description="golden examples in each prompt, other ones each time"
    )
    temperature: float = Field(0.9, ge=0.0, le=2.0, description="of the sampling")
    max_tokens: int = Field(2500, ge=64, le=32768, description="longest answer of the server")
    tries: int = Field(
        2, ge=1, le=10, description="an example that stays wrong is asked for anew so often"
    )
    seed: int = Field(7, ge=0, description="of the plan of levels, people and situations")
    in_flight: int = Field(4, ge=1, le=256, description="requests at once")
    timeout: float = Field(180.0, ge=0.05, le=3600.0, description="seconds for one answer")
    budget: float = Field(
        5.0, ge=0.0, description="stops there, in the currency of the prices; 0 has no bound"
    )
    token_budget: int = Field(
        0, ge=0, description="stops after so many tokens, in and out; 0 has no bound"
    )
    input_price: float = Field(
        -1.0, ge=-1.0, description="per million tokens; -1 takes the price table's"
    )
    output_price: float = Field(
        -1.0, ge=-1.0, description="per million tokens; -1 takes the price table's"
    )
    retries: int = Field(
        6, ge=0, le=100, description="further tries of a request that the server fails"
    )
    backoff_seconds: float = Field(
        1.0, gt=0.0, le=60.0, description="first wait after a failure; it doubles, with jitter"
    )
    give_up_after: int = Field(
        20, ge=1, le=1000, description="failed requests in a row that end the job"
    )


class HardwareSettings(Section):
    gpus: list[Annotated[int, Field(ge=0)]] | Literal["auto"] = Field(
        "auto",
        description="the GPUs that jobs may use, by nvidia-smi's numbers; [] uses none, "
        '"auto" all of them',
    )
    wait_for_memory: bool = Field(
        True, description="training waits until its GPU has free what the estimate says"
    )


class JobsSettings(Section):
    grace_seconds: float = Field(
        10.0, ge=1.0, le=600.0, description="from asking a job to stop to ending it"
    )
    on_end: str = Field(
        "",
        description="shell command when a job ends; HARUON_JOB, HARUON_STAGE and HARUON_STATE are "
        "set",
    )
    notify: bool = Field(True, description="bell and desktop notification when a job ends")


class SlurmSettings(Section):
    stages: list[Literal["train", "evaluate"]] = Field(
        default_factory=list,
        description="the stages that are submitted to a Slurm cluster; none: all run here",
    )
    partition: str = Field("", description='of the cluster; "" takes its default')
    hours: float = Field(
        24.0,
        ge=0.1,
        le=8760.0,
        description="that the job may take; before they are over it stops at a checkpoint",
    )
    gpus: int = Field(1, ge=0, le=1024, description="of its node; 0 trains on the CPU")
    cpus: int = Field(8, ge=1, le=1024, description="of its node")
    memory: str = Field(
        "",
        pattern=r"^(\d+[KMGT]?)?$",
        description='of its node, such as "64G"; "" takes the partition\'s default',
    )
    wait_minutes: float = Field(
        1440.0,
        ge=0.0,
        description="in the queue, after which the job is cancelled with the scheduler's reason; "
        "0 waits for ever",
    )
    options: list[Annotated[str, Field(pattern=r"^--[a-z]")]] = Field(
        default_factory=list, description='further ones of sbatch, such as "--account=lab"'
    )


class Settings(Section):
    """All settings in force: profile, recipe and haruon.toml laid over each other."""

    profile: ProfileName = Field(description="the set of defaults for everything below")
    model: ModelSettings
    dataset: DatasetSettings
    train: TrainSettings
    evaluate: EvaluateSettings
    gguf: GgufSettings
    chat: ChatSettings
    generate: GenerateSettings
    hardware: HardwareSettings
    jobs: JobsSettings
    slurm: SlurmSettings


def default_settings(profile: str) -> Settings:
    """The settings of a profile, with no haruon.toml."""
    return build({"profile": profile})


def load_settings(path: Path, overrides: dict[str, Any] | None = None) -> Settings:
    """Read and check a haruon.toml, with `overrides` laid over its sections.

    Raises ConfigurationError with the file, line, key and the nearest known name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot be read: {error}", where=str(path), expected="a UTF-8 text file"
        ) from error
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{path}:{line.group(1)}" if line else str(path)
        raise ConfigurationError(
            f"is not valid TOML: {error}",
            where=where,
            expected='lines like: epochs = 3, or name = "text"',
            do="mend that line; `haruon init --force` writes the defaults again",
        ) from error
    source = _Source(path, text)
    for section, value in (overrides or {}).items():
        source.forget(section, value)
        held = written.get(section)
        if isinstance(held, dict) and isinstance(value, dict):
            written[section] = {**held, **value}
        else:
            written[section] = value
    return _with_absolute_paths(build(written, source), path.parent)


def _with_absolute_paths(settings: Settings, folder: Path) -> Settings:
    """Paths in haruon.toml are relative to its folder, wherever a program runs."""
    base = Path(settings.model.base).expanduser()
    local = settings.model.base.startswith((".", "~")) or (folder / base).is_dir()
    model = {"base": str((folder / base).resolve())} if local else {}
    files = [str((folder / Path(file).expanduser()).resolve()) for file in settings.dataset.files]
    cases = [str((folder / Path(file).expanduser()).resolve()) for file in settings.evaluate.cases]
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update=model),
            "dataset": settings.dataset.model_copy(update={"files": files}),
            "evaluate": settings.evaluate.model_copy(update={"cases": cases}),
        }
    )


def build(written: dict[str, Any], source: _Source | None = None) -> Settings:
    """Lay `written` over its recipe and profile and check the whole.

    Raises ConfigurationError; `source` lets it name the line.
    """
    source = source or _Source(None, "")
    profile = written.get("profile", "tiny")
    if profile not in profiles.PROFILES:
        raise source.error(("profile",), f"there is no profile {profile!r}", profiles.PROFILES)
    for section, value in written.items():
        field = Settings.model_fields.get(section)
        if field is None:
            raise source.error((section,), f"unknown key {section!r}", Settings.model_fields)
        if section != "profile" and not isinstance(value, dict):
            raise source.error((section,), f"[{section}] must be a section, not {value!r}", ())
    train = written.get("train", {})
    recipe = train.get("recipe", profiles.PROFILES[profile]["train"]["recipe"])
    if recipe not in profiles.RECIPES:
        raise source.error(("train", "recipe"), f"there is no recipe {recipe!r}", profiles.RECIPES)
    merged = profiles.values(profile, recipe)
    for section, value in written.items():
        merged[section] = {**merged.get(section, {}), **value} if section != "profile" else value
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise source.explain(error) from error


class _Source:
    """Where the keys of a haruon.toml stand."""

    def __init__(self, path: Path | None, text: str) -> None:
        self._path = path
        self._lines: dict[tuple[str, ...], int] = {}
        section: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if heading := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
                section = tuple(heading.group(1).split("."))
                self._lines.setdefault(section, number)
            elif key := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line):
                self._lines.setdefault((*section, key.group(1)), number)

    def forget(self, section: str, value: Any) -> None:
        """An overridden key stands on the command line, not in the file."""
        for key in value if isinstance(value, dict) else ():
            self._lines.pop((section, key), None)

    def where(self, key: tuple[str, ...]) -> str:
        name = ".".join(key)
        line = self._lines.get(key[:2])
        return f"{self._path}:{line} ({name})" if self._path and line else name

    def error(self, key: tuple[str, ...], what: str, known: Any) -> ConfigurationError:
        near = difflib.get_close_matches(key[-1] if "unknown" in what else what, list(known), 1)
        if not near and "unknown" not in what:
            near = difflib.get_close_matches(what.split("'")[-2] if "'" in what else "", known, 1)
        return ConfigurationError(
            what,
            where=self.where(key),
            expected=", ".join(sorted(known)) or None,
            do=f"did you mean {near[0]!r}?" if near else None,
        )

    def explain(self, error: ValidationError) -> ConfigurationError:
        first = error.errors()[0]
        key = tuple(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            section = Settings.model_fields[key[0]].annotation
            return self.error(key, f"unknown key {key[-1]!r}", section.model_fields)  # type: ignore[union-attr]
        given = first.get("input")
        return ConfigurationError(
            f"{given!r} is not allowed here",
            where=self.where(key),
            expected=first["msg"].replace("Input should be ", ""),
            do=_described(key),
        )


def _described(key: tuple[str, ...]) -> str | None:
    section = Settings.model_fields[key[0]].annotation
    if len(key) < 2 or not (isinstance(section, type) and issubclass(section, BaseModel)):
        return None
    field = section.model_fields.get(key[1])
    return f"{key[1]}: {field.description}" if field and field.description else None


def commented_toml(profile: str) -> str:
    """The text of a new haruon.toml: the profile set, every other key there as a comment."""
    settings = default_settings(profile)
    lines = [
        "# Settings of this haruon workspace. Take away the '#' before a key to change it;",
        "# a key that stays commented has the value shown, from the profile and the recipe.",
        "",
        f"profile = {_toml(profile)}    # {' or '.join(profiles.PROFILES)}",
    ]
    for name in Settings.model_fields:
        section = getattr(settings, name)
        if not isinstance(section, BaseModel):
            continue
        lines += ["", f"[{name}]"]
        for key, field in type(section).model_fields.items():
            lines.append(f"# {field.description}")
            lines.append(f"#{key} = {_toml(getattr(section, key))}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
