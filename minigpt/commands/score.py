"""The command line of score."""

import argparse
import os
import sys
import time
from pathlib import Path

from ..generation.streaming import tokenizer_of
from ..models.gpt import GPT
from ..training.corpora import load_corpus
from .common import add_model, exit_status, write


def main(argv=None) -> int:
    """How likely a model finds a text or a file, or which answer to a prompt. Returns the exit status, 0, 1 or 130."""
    parser = argparse.ArgumentParser(
        prog="score", description="Say how likely a model finds a text: nats per token, perplexity and bits per byte; or with "
        "--answers which of several answers it finds the likeliest after it.",
        epilog='Example: score "My gracious " --answers lord lady lion',
    )
    parser.add_argument("text", metavar="TEXT", help="the text, or the name of a UTF-8 file; with --answers the prompt itself")
    add_model(parser)
    parser.add_argument("--answers", nargs="+", metavar="ANSWER", help="what may follow: each gets its log-probability and "
                        "its probability among them")
    parser.add_argument("--normalize", choices=("tokens", "bytes"), help="compare log-probabilities per token or per byte, so "
                        "that long answers are not the less likely (default: neither)")
    return exit_status(_run, parser, argv)


def _run(args):
    if args.normalize is not None and args.answers is None:
        raise ValueError("--normalize: no --answers, expected both; per token and per byte is what is printed without them")
    model = GPT.from_pretrained(args.model)
    tokenizer = tokenizer_of(model, args.model)
    if args.answers is not None:
        choices = model.choose(args.text, args.answers, args.normalize)
        by = "" if args.normalize is None else f"   per {args.normalize[:-1]}"
        write(f"probability      log p{by}   answer\n")
        for choice in choices:
            mean = "" if args.normalize is None else f"{choice.score:>{len(by)}.4f}"
            write(f"{choice.probability:11.4f} {choice.logprob:10.4f}{mean}   {choice.answer!r}\n")
        return 0
    is_file = os.path.isfile(args.text)         # unlike Path's it takes a text of any length
    text = load_corpus(Path(args.text)).text if is_file else args.text
    ids = tokenizer.encode(text, allowed_special="all")
    start = time.perf_counter()
    score = model.score(ids, progress=sys.stderr.isatty())
    seconds = time.perf_counter() - start
    of = f"the file {args.text}" if is_file else "the text"
    write(f"{len(score):,} tokens and {score.n_bytes:,} bytes of {of}\n"
           f"nats per token {0 - score.mean:9.4f}\n"
           f"perplexity     {score.perplexity:9.4f}\n"
           f"bits per byte  {score.bits_per_byte:9.4f}\n")
    print(f"{len(score)} tokens in {seconds:.2f} s, {len(score) / seconds:,.1f} tokens/s", file=sys.stderr)
    return 0
