#!/usr/bin/env bash
# A variable in two parts, saved by TensorFlow 2.21.0's tf.compat.v1.train.Saver.
#
# Guessed before: the checkpoint holds two tensors, "wte/part_0" and "wte/part_1", the names that the parts have in the graph.
# Seen: tf.train.list_variables shows one name, "wte", with the whole shape.  The index file has that entry without any
# numbers, and the numbers under two keys that are no text: a zero byte, the name, then start and length of each dimension in
# an encoding whose bytes are not UTF-8.  They sort before all names.
#
# A reader of the index that decodes every key as text ends here, and one that skips what it cannot decode loses the variable.
# minigpt refuses such a checkpoint and names the variable (tests/weights/test_tensorflow.py).
#
# Usage: findings/tensorflow_partitioned_variable_keys.sh        needs Python 3.10 to 3.13 and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tensorflow-cpu==2.21.0"
cd "$folder"
TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0 "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
with tf.Graph().as_default(), v1.Session() as session:
    variable = v1.get_variable("wte", (6, 3), partitioner=v1.fixed_size_partitioner(2))
    session.run(v1.global_variables_initializer())
    in_graph = [part.op.name for part in variable]
    values = session.run(variable.as_tensor())
    path = v1.train.Saver().save(session, "./model.ckpt")
listed = tf.train.list_variables(path)
index = open(f"{path}.index", "rb").read()
start = index.index(b"\0wte\0")
key = index[start : start + 14]
try:
    key.decode("utf-8")
    text = True
except UnicodeDecodeError as error:
    text = False
    print("first part's key:", key, "->", error)
print("tensorflow", tf.__version__)
print("names in the graph:", in_graph)
print("tf.train.list_variables:", listed)
print("the index holds wte/part_0:", b"part_0" in index)
assert np.array_equal(tf.train.load_checkpoint(path).get_tensor("wte"), values)
assert in_graph == ["wte/part_0", "wte/part_1"] and listed == [("wte", [6, 3])] and not text and b"part_0" not in index, "changed"
PYTHON
