"""Have llm.c run a model that minigpt wrote: it reads the file, computes the same loss, trains it further and speaks.

    git clone https://github.com/karpathy/llm.c FOLDER
    (cd FOLDER && gcc -O3 -fopenmp train_gpt2.c -lm -o train_gpt2)
    python tests/llmc_reference.py FOLDER                           # half a minute

train_gpt2 opens gpt2_124M.bin, gpt2_tokenizer.bin and the two files of tokens by these names in the folder where it runs.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from minigpt import GPT
from texts import PROSE

B, T, BATCHES = 4, 64, 5            # what train_gpt2.c takes of the validation part
CONVERT = Path(__file__).parents[1] / "scripts" / "convert_gpt2.py"


def write_tokens(path: Path, ids: np.ndarray) -> None:
    """llm.c's file of tokens: 256 integers, of which three mean something, then the ids as uint16."""
    header = np.zeros(256, "<i4")
    header[:3] = 20_240_520, 1, len(ids)
    path.write_bytes(header.tobytes() + ids.astype("<u2").tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a clone of llm.c with its train_gpt2 compiled")
    program = (parser.parse_args().folder / "train_gpt2").resolve(strict=True)
    model = GPT.from_pretrained("shakespeare-char")
    known = set(model.tokenizer.decode(range(model.tokenizer.vocab_size)))
    ids = model.tokenizer.encode_array("".join(c for c in PROSE * 3 if c in known))
    parts = {"train": ids[: len(ids) // 2], "val": ids[len(ids) // 2:]}
    losses = []
    for i in range(BATCHES):
        window = parts["val"][i * B * T : (i + 1) * B * T + 1]
        losses.append(model.loss(window[:-1].reshape(B, T), window[1:].reshape(B, T)))
    ours = float(np.mean(losses))
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        model.save_pretrained(here / "model")
        subprocess.run([sys.executable, CONVERT, here / "model", "--out", here / "llmc", "--to", "llmc"], check=True)
        texts = here / "llmc" / "dev" / "data" / "tinyshakespeare"
        texts.mkdir(parents=True)
        for name, part in parts.items():
            write_tokens(texts / f"tiny_shakespeare_{name}.bin", part)
        output = subprocess.run([program], cwd=here / "llmc", check=True, capture_output=True).stdout.decode("utf-8", "replace")
    theirs = [float(loss) for loss in re.findall(r"val loss ([\d.]+)", output)]
    said = re.findall(r"generating:\n---\n(.*?)\n---", output, flags=re.DOTALL)[-1]
    print(f"loss of the same windows: minigpt {ours:.6f}, llm.c {theirs[0]:.6f}; after 40 steps of llm.c's {theirs[-1]:.6f}")
    print(f"llm.c then says:\n{said}")
    return 0 if abs(ours - theirs[0]) < 1e-5 and theirs[-1] < theirs[0] else 1


if __name__ == "__main__":
    sys.exit(main())
