"""What a model's folder or file is, from headers and settings alone: no array of its weights is read or made.

    print(inspect("shakespeare-char"))          python -m minigpt inspect shakespeare-char

Whether it loads is asked of those who load it, sources.py, pretrained.py and state_dict.py: they are given arrays of the types
and shapes that the headers declare, with one number in memory each.  Damage among the numbers themselves is not seen.
"""

from __future__ import annotations

import os
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..config import GPTConfig
from ..hf.generation_config import FILENAME, GenerationConfig
from ..system.files import naming
from ..system.json_reader import read_json
from ..system.language import Sentence, joined
from ..system.text import counted, for_terminal, listed, printable
from ..tokenization import CharTokenizer, Tokenizer, WordPieceTokenizer, read_settings
from ..tokenization import load as load_tokenizer
from . import read_metadata, shards, tensorflow, torch_zip
from .folder import check_together, facts_of
from .kinds import kind_of
from .pretrained import configuration, find
from .sources import tokenizer_of as tokenizer_beside
from .sources import weight_file
from .state_dict import linear_layout_of, problems_of, refuse_problems, renamed

_COLUMNS = 80
_FORMATS = {
    "safetensors": "safetensors", "npz": Sentence("NumPy's npz"), "torch_zip": Sentence("PyTorch's"),
    "shards": Sentence("several and their index"), "tensorflow": Sentence("a TensorFlow checkpoint"),
    "llmc": Sentence("llm.c's"), "gguf": "GGUF",
}
_SIZES = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner")
_TOKENIZER_KINDS = {Tokenizer: "byte-level BPE", WordPieceTokenizer: "WordPiece", CharTokenizer: "characters"}
_TOKENIZER_FILES = {
    Tokenizer: ("tokenizer.json", "vocab.json", "merges.txt"), WordPieceTokenizer: ("tokenizer.json", "vocab.txt"),
    CharTokenizer: ("chars.json",),
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Report:
    """What a model is, in words and as far as it can be read; print() it.

    what: as it was named.  path: the folder or file found.  problem: why GPT.from_pretrained does not load it, None if it does.
    rows: {"format": "safetensors: model.safetensors, 3,305,144 bytes", …}.  tensors: {name: (type, shape)}, as in the file.
    """

    what: str
    path: Path
    problem: str | None
    rows: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    config: GPTConfig | None

    def __str__(self) -> str:
        verdict = "loads it." if self.problem is None else f"does not load it: {self.problem}"
        lines = [_filled(f"minigpt inspect: {printable(self.what)}"), ""]
        lines += [_filled(text, f"  {name:13}") for name, text in self.rows.items()]
        return for_terminal("\n".join([*lines, "", _filled(f"GPT.from_pretrained {verdict}")]))


def _filled(text: str, begin: str = "") -> str:
    """Lines of the screen's width"""
    return textwrap.fill(text, _COLUMNS, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False)


@dataclass
class _Model:
    """What has been found of a model until now"""

    folder: Path
    file: Path | None = None
    kind: str | None = None
    table: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)     # of these types and shapes, by the names of the file
    origin: torch_zip.Origin | None = None
    config: GPTConfig | None = None
    is_gpt2: bool = False
    tokenizer: Any = None
    unreadable: str = ""                                            # why there is no tokenizer, though there are its files
    values: dict[str, Any] = field(default_factory=dict)            # of config.json
    problems: list[Exception] = field(default_factory=list)         # the first is what from_pretrained() raises
    notes: list[str] = field(default_factory=list)

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """Return work(), or None and note the problem; what it warns of is noted too."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return work()
            except (ValueError, OSError) as error:
                self.problems.append(error)
                return None
            finally:
                self.notes += [str(warning.message) for warning in caught]


def inspect(what: str | os.PathLike[str]) -> Report:
    """Say what a folder, a file, or a name that GPT.from_pretrained knows stands for; nothing is downloaded.

    Raises: FileNotFoundError, weights.WeightFormatError, ConfigError or OSError where there is nothing to say.
    """
    model = _found(what)
    if file := model.file:
        model.attempt(lambda: _read_table(model, file))
    model.attempt(lambda: _read_config(model))
    config = model.config
    if model.table and config:
        model.attempt(lambda: _check_tensors(model, config))
    _read_tokenizer(model)
    if file and config and not model.problems:
        model.attempt(lambda: check_together(file, facts_of(config), model.tokenizer))
    if model.problems and not (model.table or config or model.tokenizer or model.unreadable):
        raise model.problems[0]
    problem = printable(model.problems[0], 900) if model.problems else None
    rows = {name: text for name, text in _rows(what, model) if text}
    return Report(str(what), file or model.folder, problem, rows, model.table, config)


def _found(what: str | os.PathLike[str]) -> _Model:
    """Find the file of weights, or the folder that has none."""
    path = Path(what)
    try:
        path = find(what, downloads=False)
        file = weight_file(path)
    except (ValueError, OSError) as error:
        if not path.is_dir():
            raise
        return _Model(path, problems=[error])
    return _Model(file.parent, file)


def _read_table(model: _Model, file: Path) -> None:
    """Read the types and shapes of the tensors, and what else the file tells."""

    def read() -> None:
        model.kind = kind_of(file)
        model.table = import_module(f".{model.kind}", __package__).read_table(file)
        if model.kind == "torch_zip":
            model.origin = torch_zip.read_origin(file)

    naming(file, read)
    arrays = {name: _array(dtype, shape) for name, (dtype, shape) in model.table.items()}
    model.arrays = tensorflow.gpt2_parameters(arrays, file) if model.kind == "tensorflow" else arrays


def _array(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of any shape that has one number in memory; NumPy has no quantized types, which are read as floats"""
    is_numpys = dtype == "bool" or dtype.startswith(("float", "int", "uint"))
    return np.broadcast_to(np.zeros((), dtype if is_numpys else np.float32), shape)


def _read_config(model: _Model) -> None:
    path, file, arrays = model.folder / "config.json", model.file, dict(model.arrays)
    model.values = _or_none(lambda: read_json(path, dict)) or {}     # the file of weights may have its own configuration
    if file is None:
        model.config = GPTConfig.from_file(path) if path.is_file() else None
        return
    if model.kind == "gguf" and model.table and model.table.get("lm_head.weight") == model.table["wte.weight"]:
        del arrays["lm_head.weight"]        # tied or not: only the numbers tell
    model.config, model.is_gpt2 = configuration(file, arrays)


def _problems(model: _Model, config: GPTConfig) -> list[str]:
    """Say what is wrong with the tensors, as state_dict.build() does; lm_head.weight is tied where only its numbers tell."""
    arrays, problems = renamed(model.arrays)
    if config.tie_word_embeddings and "lm_head.weight" in arrays:
        head = arrays.pop("lm_head.weight")
        arrays.setdefault("wte.weight", head)
    return [*problems, *problems_of(arrays, config, linear_layout_of(model.arrays))]


def _check_tensors(model: _Model, config: GPTConfig) -> None:
    """Raise WeightFormatError where there is something wrong with the tensors."""
    problems = _problems(model, config)
    try:
        refuse_problems(problems, str(model.file))
    except ValueError as error:
        if problems == ["score.weight is unexpected"]:
            raise type(error)(f"{error}; it is a classifier: Classifier.from_pretrained loads it") from None
        raise


def _read_tokenizer(model: _Model) -> None:
    """Load the tokenizer as from_pretrained() does, and note why not: that is no problem of the model."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if model.file and model.config:
                model.tokenizer = tokenizer_beside(model.file, model.config, model.is_gpt2)
            else:
                model.tokenizer = load_tokenizer(model.folder)
        except (ValueError, OSError) as error:
            is_there = any((model.folder / name).exists() for names in _TOKENIZER_FILES.values() for name in names)
            model.unreadable = str(error) if is_there else ""
    for warning in caught:
        text, _, reason = str(warning.message).partition("since it cannot be read: ")
        if reason:
            model.unreadable = reason
        else:
            model.notes.append(text)


# --- the rows of the report


def _rows(what: str | os.PathLike[str], model: _Model) -> list[tuple[str, str]]:
    generation, not_honored = _generation(model)
    return [
        ("found in", "" if Path(what).exists() else printable(model.folder)),
        ("format", _format(model)),
        ("written by", joined(_writers(model), "; ")),
        ("model", _sizes(model)),
        ("parameters", _parameters(model)),
        ("weights", _weights(model)),
        ("activation", model.config.activation_function if model.config else ""),
        ("settings", _settings(model)),
        ("tokenizer", _tokenizer(model)),
        ("special ids", _special_ids(model, generation)),
        ("generation", _honored(generation)),
        ("missing", joined(_missing(model), "; ")),
        ("passed over", joined(_passed_over(model), "; ")),
        ("notes", printable("; ".join([*model.notes, *not_honored]), 600)),
    ]


def _format(model: _Model) -> str:
    if model.file is None or model.kind is None:
        return ""
    files = _files(model.file, model.kind)
    there = [file for file in files if file.is_file()]
    names = printable(model.file.name, 60)
    if len(files) > 1:
        names = Sentence("{there} of {all} files", there=len(there), all=len(files))
    size = sum(file.stat().st_size for file in there)
    return Sentence("{format}: {names}, {size:,} bytes", format=_FORMATS[model.kind], names=names, size=size)


def _files(file: Path, kind: str) -> list[Path]:
    """All files that hold the weights, there or not"""
    others = {"shards": shards.files, "tensorflow": tensorflow.data_files}.get(kind)
    return [file, *((others and _or_none(lambda: others(file))) or [])]


def _writers(model: _Model) -> list[str]:
    """Who wrote the files, as far as they say so."""
    file, writers = model.file, []
    if file and model.table and (metadata := read_metadata(file)):
        names = [f"{key} {value}" for key, value in metadata.items() if key not in ("minigpt", "format")]
        writers += ["minigpt"] if "minigpt" in metadata else []
        writers += [f"metadata: {listed(names, most=100)}"] if names else []
    elif model.origin:
        maker = "nanoGPT" if "model_args" in model.origin.others else "torch.save"
        writers.append(f"{maker}: {listed(f'{key} {value}' for key, value in model.origin.facts.items())}")
    elif file and model.kind == "gguf":
        keys = _or_none(lambda: import_module(".gguf", __package__).read_header(file).keys) or {}
        facts = [f"{key.removeprefix('general.')} {value}" for key, value in keys.items()
                 if key.startswith("general.") and isinstance(value, (str, int)) and key != "general.alignment"]
        writers.append(f"{'minigpt: ' if 'minigpt.vocab_size' in keys else ''}{listed(facts, most=200)}")
    if (version := model.values.get("transformers_version")) is not None:
        writers.append(f"transformers {printable(version, 40)} (config.json)")
    return writers


def _sizes(model: _Model) -> str:
    config = model.config
    if config is None:
        return ""
    kinds = [model.values.get("model_type")] if _is_of_config_json(model) else []
    architectures = model.values.get("architectures") if kinds else None
    kinds += architectures if isinstance(architectures, list) else []
    name = f"{listed([kind for kind in kinds if kind], most=80)}: " if any(kinds) else ""
    inner = f" (MLP: {config.mlp_width:,})" if config.mlp_width != 4 * config.n_embd else ""
    return (f"{name}{counted(config.n_layer, 'layer')}, {counted(config.n_head, 'head')}, {config.n_embd:,} channels{inner}, "
            f"{config.n_positions:,} positions, vocabulary {config.vocab_size:,}")


def _parameters(model: _Model) -> str:
    arrays, config = renamed(model.arrays)[0], model.config
    if not arrays or config is None:
        return f"{sum(array.size for array in arrays.values()):,}" if arrays else ""
    is_there = "lm_head.weight" in arrays
    if not config.tie_word_embeddings:
        return f"{config.n_params:,}, with an output layer of its own (untied)"
    twins = model.origin.twins.items() if model.origin else ()
    is_one = any({_bare(model, name), _bare(model, other)} == {"wte.weight", "lm_head.weight"} for name, other in twins)
    if is_there and "wte.weight" in arrays and not is_one:
        return (f"{config.n_params:,}, tied if lm_head.weight equals wte.weight, which loading finds out; else "
                f"{config.n_params + arrays['lm_head.weight'].size:,}")
    name = "wte.weight" if "wte.weight" in arrays else "wte.weight, here lm_head.weight"
    return f"{config.n_params:,}, the output layer tied to {name}"


def _weights(model: _Model) -> str:
    masks = {*_masks(model)}
    names = [name for name in model.table if name not in masks and _is_parameter(model, name)]
    counts = Counter(model.table[name][0] for name in names)
    if len(counts) == 1:
        text = joined([next(iter(counts)), _tensors(len(names))])
    else:
        text = joined(Sentence("{dtype} ({tensors})", dtype=dtype, tensors=_tensors(n)) for dtype, n in counts.most_common())
    if model.arrays and linear_layout_of(model.arrays) == "out_in":
        return Sentence("{text}; linear layers are (out, in), as torch.nn.Linear has them", text=text)
    return text


def _settings(model: _Model) -> str:
    """What differs from GPT-2 beside sizes and activation"""
    free = (*_SIZES, "activation_function", "tie_word_embeddings", "initializer_range")
    return ", ".join(f"{each.name} {getattr(model.config, each.name)}" for each in fields(model.config or GPTConfig())
                     if each.name not in free and not each.name.endswith(("_pdrop", "_token_id"))
                     and getattr(model.config, each.name, each.default) != each.default)


def _tokenizer(model: _Model) -> str:
    tokenizer, config = model.tokenizer, model.config
    if tokenizer is None:
        return f"none that can be read: {printable(model.unreadable, 500)}" if model.unreadable else "none"
    there = [name for name in _TOKENIZER_FILES[type(tokenizer)] if (model.folder / name).exists()]
    place = f"from {there[0]}" if there else "from the GGUF file" if model.kind == "gguf" else "GPT-2's own"
    text = f"{_TOKENIZER_KINDS[type(tokenizer)]}, {tokenizer.vocab_size:,} ids, {place}"
    if config and tokenizer.vocab_size > config.vocab_size:
        text += f"; more than the model's vocabulary of {config.vocab_size:,}"
    return text


def _special_ids(model: _Model, generation: GenerationConfig) -> str:
    """bos, eos and pad, each with the places that say so."""
    settings = _or_none(lambda: read_settings(model.folder))
    ids = {**getattr(model.tokenizer, "added_tokens", {}), **(model.tokenizer.special_tokens if model.tokenizer else {})}
    is_own, own = _is_of_config_json(model), Sentence("the GGUF file" if model.kind == "gguf" else "as GPT-2")
    texts = []
    for role in ("bos", "eos", "pad"):
        key = f"{role}_token_id"
        said = [(getattr(model.config, key, None), "config.json" if is_own and key in model.values else own)]
        said.append((generation.to_dict().get(key), FILENAME))
        token = getattr(settings, f"{role}_token", None)
        if token in ids:
            said.append((ids[token], Sentence("the tokenizer's {token}", token=printable(token, 40))))
        places: dict[str, list[str]] = {}
        for id, place in said:
            ids_there = () if id is None else tuple(id) if isinstance(id, (tuple, list)) else (id,)
            if ids_there:
                where = places.setdefault(" or ".join(map(str, ids_there)), [])
                where.append(place)
                if model.config and max(ids_there) >= model.config.vocab_size:
                    where.append(Sentence("beyond the vocabulary"))
        found = joined(Sentence("{id} ({where})", id=id, where=joined(dict.fromkeys(where))) for id, where in places.items())
        texts.append(Sentence("{role} {found}", role=role, found=found or Sentence("none")))
    return joined(texts, "; ")


def _generation(model: _Model) -> tuple[GenerationConfig, list[str]]:
    """Read generation_config.json, and what is to be said of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            generation = GenerationConfig.from_pretrained(model.folder)
        except (ValueError, OSError) as error:
            return GenerationConfig(), [f"{error}; minigpt.hf does not load it"]
    return generation, [str(warning.message) for warning in caught]


def _honored(generation: GenerationConfig) -> str:
    """The settings with which minigpt.hf draws a text."""
    honored = [f"{name} {value}" for name, value in generation.to_dict().items()
               if value is not None and not name.endswith("_token_id")]
    return f"{listed(honored, most=300)} (in minigpt.hf)" if honored else ""


def _missing(model: _Model) -> list[str]:
    missing: list[str] = []
    if model.file is None:
        missing.append(Sentence("weights"))
    elif absent := [file.name for file in _files(model.file, model.kind or "") if not file.exists()]:
        missing.append(listed(absent, most=200))
    if model.config is None and not (model.folder / "config.json").exists():
        missing.append("config.json")
    if model.table and model.config:
        names = [problem.removesuffix(" is missing") for problem in _problems(model, model.config)
                 if problem.endswith(" is missing")]
        missing += [joined([_tensors(len(names)), listed(names, most=100)])] if names else []
    if model.tokenizer is None and not model.unreadable:
        missing.append(Sentence("a tokenizer"))
    return missing


def _passed_over(model: _Model) -> list[str]:
    """Tensors and keys that change nothing"""
    passed: list[str] = []
    if masks := _masks(model):
        passed.append(Sentence("{n:,} causal mask such as {name}" if len(masks) == 1 else "{n:,} causal masks such as {name}",
                               n=len(masks), name=printable(masks[0], 60)))
    if others := [name for name in model.table if not _is_parameter(model, name)]:
        passed.append(Sentence("tensors {names}", names=listed(others, most=100)))
    if model.origin and (keys := [key for key in model.origin.others if key != "model_args"]):
        passed.append(Sentence("the file's {keys}", keys=listed(keys, most=100)))
    if _is_of_config_json(model):
        base = {"model_type": model.values.get("model_type")}
        keys = [key for key, value in model.values.items() if value is not None and key not in base and _is_free(key, base)]
        passed += [Sentence("config.json's {keys}", keys=listed(keys, most=200))] if keys else []
    return passed


def _masks(model: _Model) -> list[str]:
    return [name for name in model.arrays if not _bare(model, name)]


def _bare(model: _Model, name: str) -> str:
    """The name that GPT-2 has for a tensor, "" for a causal mask"""
    return next(iter(renamed({name: model.arrays[name]})[0]), "")


def _is_parameter(model: _Model, name: str) -> bool:
    return model.kind != "tensorflow" or tensorflow.is_parameter(name)


def _is_of_config_json(model: _Model) -> bool:
    """Whether the configuration is that of config.json, and not one inside the file of weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.config is not None and model.config == _or_none(lambda: GPTConfig.from_dict(model.values))


def _is_free(key: str, base: dict[str, Any]) -> bool:
    """Whether a key of config.json may have any value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _or_none(lambda: GPTConfig.from_dict({**base, key: 1})) == GPTConfig.from_dict(base)


def _or_none(work: Callable[[], Result]) -> Result | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # loading says them
            return work()
    except (ValueError, OSError):
        return None


def _tensors(n: int) -> Sentence:
    return Sentence("{n:,} tensor" if n == 1 else "{n:,} tensors", n=n)

