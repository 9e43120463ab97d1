"""Write down tokenizer folders that transformers writes, and the ids and texts that it then gets from them.

    python tests/make_tokenizer_folders_fixture.py       # writes its version's part of tests/fixtures/tokenizer_folders.json.gz

Run it once with transformers 5.24.0 and once with 4.57.6; each replaces only its own part.  tokenization/test_folders.py reads
every folder and compares.  All of them are small: a few dozen merges, learned from the text below.
"""

import argparse
import contextlib
import gzip
import json
import tempfile
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "tokenizer_folders.json.gz"
END = "<|endoftext|>"
TEXT = (
    "the theme of the other weather: low lower lowest, new newer newest; it's there, they're here. "
    "你好世界你好 naïve café 12 12"
)
TEXTS = [
    "", " ", "   ", "low", " lower than the others", "It's the newest theme, they're there.", "\tif x == 12:\n\t\treturn x\r\n",
    "你好，世界！你好", "naïve café", "😀 👩‍👩‍👧 ok",
    "a  b   c\n\n d \u00a0\u3000 e", "the<s>low</s>", f"low{END}er {END} end{END}", "<s>", "  <pad>  ",
    "new newt renew new. new_new new2 new", "x <l> y<l>z  <r>  w<r>v",
    "wordAB wordA word <n> the<n>the <x1><x2>", "<unk> unknown <mask>",
    "\x00\x1c\x7f", "e\u0301\u200b", "THE LOW", "abcabc abc bc", "Zebra <|new|>low", "\n<s> low </s>\n",
]  # fmt: skip


def kinds(folder: Path) -> dict:
    """The folders by name, each made by a function that writes into a path; folder is GPT-2's kind of tokenizer."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoTokenizer, GPT2TokenizerFast, PreTrainedTokenizerFast

    def gpt2(**settings):
        return GPT2TokenizerFast.from_pretrained(folder, **settings)

    def edited(path: Path, change, tokenizer=None) -> None:
        (tokenizer or gpt2()).save_pretrained(path)
        data = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
        change(data["model"])
        for token in data["added_tokens"]:
            token["id"] = data["model"]["vocab"][token["content"]]
        (path / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        for name in ("vocab.json", "merges.txt"):
            (path / name).unlink(missing_ok=True)

    def specials_first(path: Path) -> None:
        tokenizer = ByteLevelBPETokenizer()
        tokenizer.train_from_iterator([TEXT], 300, min_frequency=1, special_tokens=["<s>", "<pad>"], show_progress=False)
        tokenizer.save_model(str(path))
        (path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", '
                                                    '"eos_token": null, "unk_token": null, "pad_token": "<pad>"}')

    def trained_again(path: Path) -> None:
        gpt2().train_new_from_iterator([TEXT], 295, show_progress=False).save_pretrained(path)

    def of_few_bytes(path: Path, unk, fuse=False) -> None:
        tokenizer = Tokenizer(models.BPE(unk_token=unk, fuse_unk=fuse))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        special = ["<unk>", "<s>"] if unk else ["<s>"]
        tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False))
        wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", **({"unk_token": unk} if unk else {}))
        wrapped.save_pretrained(path)

    def holes(model) -> None:
        made = {"".join(merge) for merge in model["merges"]} | {part for merge in model["merges"] for part in merge}
        for name in [name for name in model["vocab"] if name not in made and name != END][:40]:
            del model["vocab"][name]
        model["vocab"] = {name: 3 * id + 7 for name, id in model["vocab"].items()}

    def made_twice(model) -> None:
        size = max(model["vocab"].values())
        for i, name in enumerate(("ab", "bc", "abc", "abca"), start=1):
            model["vocab"][name] = size + i
        model["merges"] += [["a", "b"], ["ab", "c"], ["abc", "a"], ["b", "c"], ["a", "bc"], ["ab", "ca"]][:5]

    def as_texts(model) -> None:
        model["merges"] = [" ".join(merge) for merge in model["merges"]]

    def unmade(model) -> None:
        size = max(model["vocab"].values())
        model["vocab"] |= {"wordA": size + 1, "Ġnever": size + 3, "世界": size + 2}

    def added(path: Path) -> None:
        tokenizer = gpt2()
        tokenizer.add_special_tokens({"pad_token": "<pad>", "eos_token": AddedToken("</s>", lstrip=True, rstrip=True)})
        tokenizer.add_special_tokens({"additional_special_tokens": ["<x1>", "<x2>"]})
        tokenizer.add_tokens(["wordA", "wordAB", AddedToken("new", single_word=True), AddedToken("<l>", lstrip=True)])
        tokenizer.add_tokens([AddedToken("<r>", rstrip=True, normalized=True), AddedToken("<n>", normalized=False), "你好"])
        tokenizer.padding_side = "left"
        tokenizer.save_pretrained(path)

    def stale(path: Path) -> None:
        gpt2().save_pretrained(path)
        for name in ("vocab.json", "merges.txt"):
            (path / name).write_bytes((folder / name).read_bytes())
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.add_tokens(["<|new|>", "low"])
        tokenizer.save_pretrained(path)

    def legacy(path: Path) -> None:
        added(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        for file in path.iterdir():
            file.unlink()
        for name in ("vocab.json", "merges.txt"):
            (path / name).write_bytes((folder / name).read_bytes())
        size = len(json.loads((path / "vocab.json").read_text(encoding="utf-8")))
        table = {token: size + i for i, token in enumerate(["<pad>", "wordA", "<x1>", "new"])}
        (path / "added_tokens.json").write_text(json.dumps(table))
        (path / "special_tokens_map.json").write_text(json.dumps({
            "pad_token": "<pad>", "cls_token": "<x1>", "mask_token": {"content": "<mask>", "lstrip": True,
            "rstrip": False, "single_word": False, "normalized": True}}))
        assert tokenizer.pad_token == "<pad>"

    return {
        "GPT-2's order": lambda path: gpt2().save_pretrained(path),
        "special tokens first, vocab.json and merges.txt": specials_first,
        "train_new_from_iterator": trained_again,
        "holes": lambda path: edited(path, holes),
        "bytes without tokens": lambda path: of_few_bytes(path, None),
        "bytes that are unknown": lambda path: of_few_bytes(path, "<unk>"),
        "unknown bytes fused": lambda path: of_few_bytes(path, "<unk>", True),
        "added tokens of all kinds": added,
        "add_prefix_space": lambda path: gpt2(add_prefix_space=True).save_pretrained(path),
        "merges as texts": lambda path: edited(path, as_texts),
        "tokens that several merges make": lambda path: edited(path, made_twice),
        "tokens that no merge makes": lambda path: edited(path, unmade),
        "a stale vocab.json": stale,
        "added_tokens.json and special_tokens_map.json": legacy,
    }


def described(path: Path) -> dict:
    """What transformers makes of the folder."""
    from transformers import AutoTokenizer

    (path / "config.json").write_text('{"model_type": "gpt2"}')
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    return {
        "files": {file.name: file.read_text(encoding="utf-8") for file in sorted(path.iterdir())},
        "ids": ids,
        "decoded": [tokenizer.decode(row) for row in ids],
        "skipped": [tokenizer.decode(row, skip_special_tokens=True) for row in ids],
        "settings": {
            name: getattr(tokenizer, name)
            for name in ("bos_token", "eos_token", "unk_token", "pad_token", "mask_token", "padding_side")
        },
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import tokenizers
    import transformers

    from minigpt.tokenization import Tokenizer

    transformers.logging.set_verbosity_error()
    content = {}
    with contextlib.suppress(FileNotFoundError):
        content = json.loads(gzip.decompress(FIXTURE.read_bytes()))
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base"
        Tokenizer.train(TEXT, 290, [END]).save(base)
        (base / "config.json").write_text('{"model_type": "gpt2"}')
        for kind, make in kinds(base).items():
            path = Path(name) / kind
            path.mkdir()
            make(path)
            rows[kind] = described(path)
    content[transformers.__version__] = {"tokenizers": tokenizers.__version__, "texts": TEXTS, "folders": rows}
    data = json.dumps(dict(sorted(content.items())), ensure_ascii=False).encode()
    FIXTURE.write_bytes(gzip.compress(data, mtime=0))
    print(f"{FIXTURE}: {len(rows)} folders of {transformers.__version__}, {FIXTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
