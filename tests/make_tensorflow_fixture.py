"""Save small checkpoints with TensorFlow: a GPT-2 as OpenAI's code makes it and trains it, and one of each other kind.

    python tests/make_tensorflow_fixture.py GPT2          # writes tests/fixtures/tensorflow_*

GPT2 is a clone of github.com/openai/gpt-2, of which src/model.py is run; the numbers of its variables come from numbers(), so
that the tests know them. weights/test_tensorflow.py reads the files without TensorFlow. Needs tensorflow-cpu; the versions are
in tensorflow_gpt2/logits.json.
"""

import argparse
import json
import shutil
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
HPARAMS = {"n_vocab": 11, "n_ctx": 6, "n_embd": 4, "n_head": 2, "n_layer": 2}
IDS = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]
KINDS = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "float16",
         "bfloat16"]


def numbers(name, shape):
    """The values of a variable: float32, near 1 for the scales of norms and else near 0, other ones for another name"""
    rng = np.random.default_rng(list(name.encode()))
    return (name.endswith("/g") + 0.3 * rng.standard_normal(shape)).astype(np.float32)


def values(kind):
    """Small numbers that every type holds, as eighths or as integers; float32 for bfloat16, which NumPy does not have"""
    n = np.arange(6).reshape(2, 3)
    return n % 2 == 0 if kind == "bool" else (n / 8 - 0.25 if "float" in kind else n).astype(kind.removeprefix("b"))


def save_gpt2(tf, source, folder):
    """Save OpenAI's model as gpt-2-simple saves its runs, but with the state of the optimizer, and what it computes"""
    def hparams(**sizes):
        return types.SimpleNamespace(**sizes)

    contrib = types.ModuleType("tensorflow.contrib.training")
    contrib.HParams = hparams
    sys.modules.update({"tensorflow": tf.compat.v1, "tensorflow.contrib": contrib, "tensorflow.contrib.training": contrib})
    sys.path.insert(0, str(source / "src"))
    import model

    tf = tf.compat.v1
    tf.disable_v2_tensorshape()
    with tf.Graph().as_default(), tf.Session() as session:
        logits = model.model(hparams(**HPARAMS), tf.constant(IDS))["logits"]
        variables = tf.trainable_variables()
        tf.train.AdamOptimizer(1e-4).minimize(tf.reduce_sum(logits), tf.train.get_or_create_global_step())
        session.run(tf.global_variables_initializer())
        for variable in variables:
            name = variable.op.name
            variable.load(numbers(name, variable.shape.as_list()), session)
        tf.train.Saver(save_relative_paths=True).save(session, str(folder / "model"), global_step=1000, write_meta_graph=False)
        computed = session.run(logits).tolist()
    (folder / "hparams.json").write_text(json.dumps(HPARAMS), encoding="utf-8")
    versions = {"tensorflow": tf.__version__, "numpy": np.__version__}
    fixture = {"made_by": "tests/make_tensorflow_fixture.py", "versions": versions, "ids": IDS, "logits": computed}
    (folder / "logits.json").write_text(json.dumps(fixture) + "\n", encoding="utf-8", newline="\n")


def save_variables(tf, folder, arrays, *, devices=(), shapes=(), **options):
    """Save variables by name, on so many logical devices, each in a shard of its own; shapes: partitions by name"""
    tf = tf.compat.v1
    config = tf.ConfigProto(device_count={"CPU": max(1, len(devices))})
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        for i, (name, array) in enumerate(arrays.items()):
            with tf.device(devices[i % len(devices)] if devices else None):
                partitioner = tf.fixed_size_partitioner(2) if name in shapes else None
                tf.get_variable(name, np.shape(array), array.dtype, lambda shape, dtype, partition_info=None, array=array: (
                    array if partition_info is None else array[tuple(map(slice, partition_info.var_offset, np.add(
                        partition_info.var_offset, shape)))]), partitioner=partitioner, use_resource=False)
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(sharded=bool(devices), **options)
        saver.save(session, str(folder / "model.ckpt"), write_meta_graph=False, write_state=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gpt2", metavar="GPT2", type=Path)
    args = parser.parse_args()
    import tensorflow as tf

    bfloat16 = tf.bfloat16.as_numpy_dtype
    kinds = {f"kind/{kind}": values(kind).astype(bfloat16 if kind == "bfloat16" else kind) for kind in KINDS}
    kinds |= {"scalar": np.float32(2.5), "empty": np.zeros((2, 0, 3), np.float32), "text": np.array(["a", "bc"], object)}
    rows = {f"rows/{i}": numbers(f"rows/{i}", (2, 3)) for i in range(4)}

    def save_object(folder):
        tf.train.Checkpoint(wte=tf.Variable(numbers("wte", (3, 2)))).write(str(folder / "model.ckpt"))

    checkpoints = {
        "kinds": lambda folder: save_variables(tf, folder, kinds),
        "shards": lambda folder: save_variables(tf, folder, rows, devices=["/cpu:0", "/cpu:1"]),
        "partitioned": lambda folder: save_variables(tf, folder, rows, shapes=["rows/1"]),
        "v1": lambda folder: save_variables(tf, folder, rows, write_version=tf.compat.v1.train.SaverDef.V1),
        "object": save_object,
        "gpt2": lambda folder: save_gpt2(tf, args.gpt2, folder),
    }
    for name, save in checkpoints.items():
        target = FIXTURES / f"tensorflow_{name}"
        with tempfile.TemporaryDirectory() as temporary:
            save(Path(temporary))
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(temporary, target)
        for path in sorted(target.iterdir()):
            print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
