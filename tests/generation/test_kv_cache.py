"""Reading with a cache equals reading everything anew."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigpt import GPT, GPTConfig
from minigpt.generation.kv_cache import KVCache, MemoryCache
from minigpt.nn.scope import Gradients, Pass, Scope

N_POSITIONS = 7
TIGHT = {"rtol": 0, "atol": 1e-10}      # float64; products of other shapes round otherwise


@pytest.fixture(scope="module", params=[False, True], ids=["textbook", "engine"])
def model(request):
    config = GPTConfig(vocab_size=11, n_positions=N_POSITIONS, n_embd=15, n_layer=2, n_head=3)
    model = GPT(config, seed=3, dtype=np.float64, threads=1, fast=request.param)
    rng = np.random.default_rng(4)
    for array in model.params.values():
        array += 0.3 * rng.standard_normal(array.shape)     # so that positions, biases and norms all matter
    return model


@pytest.fixture
def ids():
    return np.random.default_rng(5).integers(0, 11, (2, N_POSITIONS))


def read(model, cache, ids):
    """One pass over ids (B, T) behind what the cache holds -> (B, T, C), a copy"""
    scope = Scope(model.params, Gradients(), run=Pass(fast=model.fast, backward=False))
    T = ids.shape[1]
    (chunk,) = cache.chunks(T, T)
    with chunk:
        h = model.forward(ids, scope, chunk.positions, chunk.key_padding_mask, chunk.layers)
    cache.advance(T)
    return h.copy()


def next_chunk(cache, T):
    (chunk,) = cache.chunks(T, T)
    return chunk


def read_at_once(model, ids):
    return model.forward(ids, Scope(model.params, Gradients(), run=Pass(fast=model.fast, backward=False))).copy()


@pytest.mark.parametrize("length", range(1, N_POSITIONS + 1))
def test_one_position_at_a_time_equals_all_at_once(model, ids, length):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64)
    steps = [read(model, cache, ids[:, t : t + 1]) for t in range(length)]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), read_at_once(model, ids[:, :length]), **TIGHT)


@pytest.mark.parametrize("cut", range(1, N_POSITIONS))
def test_two_passes_equal_one(model, ids, cut):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64)
    chunks = [read(model, cache, ids[:, :cut]), read(model, cache, ids[:, cut:])]
    np.testing.assert_allclose(np.concatenate(chunks, axis=1), read_at_once(model, ids), **TIGHT)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("order", ["in turn", "the last first"])
def test_passes_at_the_same_time_equal_one(model, ids, size, before, order):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64, padding=[0, 1])
    alone = KVCache(model.config, 2, N_POSITIONS, np.float64, padding=[0, 1])
    if before:
        for each in (cache, alone):
            read(model, each, ids[:, :before])
    chunks = cache.chunks(N_POSITIONS - before, size)

    def run(chunk):
        with chunk:
            scope = Scope(model.params, Gradients(), run=Pass(fast=model.fast, backward=False))
            return model.forward(ids[:, chunk.start : chunk.stop], scope, chunk.positions, chunk.key_padding_mask, chunk.layers)

    with ThreadPoolExecutor(len(chunks)) as pool:
        started = [pool.submit(run, chunk) for chunk in (chunks if order == "in turn" else chunks[::-1])]
        results = [future.result() for future in started]
    h = np.concatenate(results if order == "in turn" else results[::-1], axis=1)
    np.testing.assert_allclose(h, read(model, alone, ids[:, before:]), **TIGHT)
    np.testing.assert_allclose(cache.keys, alone.keys, **TIGHT)


@pytest.mark.parametrize("before", [0, 100])
def test_chunks_are_of_equal_work(before):
    cache = KVCache(GPTConfig(n_embd=32, n_layer=1, n_head=1, n_positions=1024), 1, 1024, np.float32)
    cache.advance(before)
    chunks = cache.chunks(900, 300)
    work = [sum(1 + t / 128 for t in range(chunk.start, chunk.stop)) for chunk in chunks]       # looking at 4 · 32 keys costs 1
    assert (chunks[0].start, chunks[-1].stop, len(chunks)) == (before, before + 900, 3)
    assert [a.stop for a in chunks[:-1]] == [b.start for b in chunks[1:]]
    assert max(work) - min(work) < 2 * (1 + 1000 / 128)                                     # as equal as whole positions allow


def test_a_chunk_that_fails_keeps_no_other_waiting():
    first, second = KVCache(GPTConfig(n_embd=4, n_layer=1, n_head=1), 1, 2, np.float32).chunks(2, 1)
    with pytest.raises(KeyError), first:
        raise KeyError("broken pass")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(second.layers[0].append, np.ones((1, 1, 1, 4)), np.ones((1, 1, 1, 4))).result(timeout=60)


@pytest.mark.parametrize("padding", range(N_POSITIONS))
def test_a_row_behind_padding_equals_the_row_alone(model, ids, padding):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64, padding=[0, padding])
    h = np.concatenate([read(model, cache, ids[:, :4]), read(model, cache, ids[:, 4:])], axis=1)
    np.testing.assert_allclose(h[1, padding:], read_at_once(model, ids[1:, padding:])[0], **TIGHT)


def test_positions_count_from_the_first_token():
    cache = KVCache(GPTConfig(n_embd=4, n_layer=1, n_head=1), 2, 8, np.float32, padding=[0, 2])
    np.testing.assert_array_equal(next_chunk(cache, 3).positions, [[0, 1, 2], [0, 0, 0]])
    cache.advance(3)
    np.testing.assert_array_equal(next_chunk(cache, 2).positions, [[3, 4], [1, 2]])


def test_the_mask_is_false_at_padding_only():
    cache = KVCache(GPTConfig(n_embd=4, n_layer=1, n_head=1), 2, 8, np.float32, padding=[0, 2])
    cache.advance(2)
    np.testing.assert_array_equal(next_chunk(cache, 1).key_padding_mask, [[True, True, True], [False, False, True]])


def test_without_padding_nothing_is_masked(model):
    assert next_chunk(KVCache(model.config, 2, 4, np.float64), 3).key_padding_mask is None


def test_a_repeated_cache_continues_each_row_like_its_original(model, ids):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64, padding=[0, 1])
    read(model, cache, ids[:, :4])
    repeated = cache.take([0, 0, 0, 1, 1, 1])
    expected = np.repeat(read(model, cache, ids[:, 4:]), 3, axis=0)
    np.testing.assert_allclose(read(model, repeated, np.repeat(ids[:, 4:], 3, axis=0)), expected, **TIGHT)


def test_rows_of_a_repeated_cache_are_independent(model, ids):
    cache = KVCache(model.config, 1, N_POSITIONS, np.float64)
    read(model, cache, ids[:1, :3])
    repeated = cache.take([0, 0])
    repeated.keys[:, 0] = 0
    assert repeated.keys[:, 1, :, :3].all()


def test_rows_are_taken_in_any_order(model, ids):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64, padding=[0, 1])
    read(model, cache, ids[:, :4])
    expected = read(model, cache, ids[:, 4:])
    cache.length = 4
    np.testing.assert_allclose(read(model, cache.take([1, 0]), ids[::-1, 4:]), expected[::-1], **TIGHT)


def test_keys_and_values_of_a_memory_are_made_once_and_stay():
    cache, buffer, made = MemoryCache(), np.zeros((1, 2, 3, 4)), []

    def make():
        made.append(True)
        return buffer, buffer

    cache.once(make)
    buffer[...] = 1                                     # the next layer writes over it
    assert [(array == 0).all() for array in cache.once(make)] == [True, True]
    assert len(made) == 1


def test_an_interrupted_pass_leaves_the_cache_as_it_was(model, ids):
    cache = KVCache(model.config, 2, N_POSITIONS, np.float64)
    read(model, cache, ids[:, :3])
    next_chunk(cache, 1).layers[0].append(np.ones((2, 3, 1, 5)), np.ones((2, 3, 1, 5)))      # the first layer only
    np.testing.assert_allclose(read(model, cache, ids[:, 3:]), read_at_once(model, ids)[:, 3:], **TIGHT)


def test_append_gives_views():
    cache = KVCache(GPTConfig(n_embd=4, n_layer=1, n_head=2), 1, 8, np.float32)
    keys, values = next_chunk(cache, 3).layers[0].append(np.ones((1, 2, 3, 2)), np.zeros((1, 2, 3, 2)))
    assert keys.shape == values.shape == (1, 2, 3, 2)
    assert np.shares_memory(keys, cache.keys)
    assert np.shares_memory(values, cache.values)


def test_more_positions_than_the_capacity_are_refused():
    cache = KVCache(GPTConfig(n_embd=4, n_layer=1, n_head=1), 1, 2, np.float32)
    with pytest.raises(ValueError, match="cache: 3 positions, expected at most its capacity 2"):
        cache.chunks(3, 3)


def test_the_cache_has_the_dtype_of_the_model():
    assert KVCache(GPTConfig(n_embd=4, n_layer=1, n_head=1), 1, 2, np.float32).keys.dtype == np.float32
