"""Writes tests/fixtures/hf_calls.json: what the calls of tests/hf_calls.py give in one version of transformers.

    python tests/make_hf_fixture.py        once with transformers 5.24.0 and once with 4.57.6, each adds its own

Needs tokenizers and torch 2.13; minigpt only writes the folders that are loaded.
"""

import json
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import hf_calls  # noqa: E402

PATH = HERE / "fixtures" / "hf_calls.json"


def results(folder: Path) -> dict:
    # where 4.57 has two, the fast one, whose ids 5.24 has kept
    bert = getattr(transformers, "BertTokenizerFast", transformers.BertTokenizer)
    found = {}
    for kind, tokenizer, calls in (
        ("gpt2", transformers.GPT2Tokenizer, hf_calls.CALLS), ("bert", bert, hf_calls.BERT_CALLS),
    ):
        load = partial(tokenizer.from_pretrained, folder / kind)
        found[kind] = {name: hf_calls.result_of(call, load) for name, call in calls.items()}
    load = hf_calls.loader(folder / "model", transformers.GPT2LMHeadModel)
    calls = hf_calls.MODEL_CALLS
    return found | {"model": {name: hf_calls.result_of(call, load, torch.tensor) for name, call in calls.items()}}


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    stored = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        hf_calls.write_folders(Path(folder))
        stored[transformers.__version__] = results(Path(folder))
    text = json.dumps(dict(sorted(stored.items())), ensure_ascii=False)
    for name in (name for kinds in stored.values() for calls in kinds.values() for name in calls):     # a call a line
        text = text.replace(f"{json.dumps(name, ensure_ascii=False)}: ", f"\n{json.dumps(name, ensure_ascii=False)}: ")
    while "\n\n" in text:
        text = text.replace("\n\n", "\n")
    PATH.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
