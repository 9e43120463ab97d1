"""64 greedy tokens beside those of transformers: frozen by make_generation_fixture.py, and live."""

import json

import numpy as np
import pytest

import make_generation_fixture as fixture
from minigpt import GPT, GPTConfig
from minigpt.hf.model import GPT2Config, GPT2LMHeadModel

FROZEN = json.loads(fixture.FIXTURE.read_text(encoding="utf-8"))["cases"]


def make_model(case, dtype=np.float64):
    settings = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(**case["config"], **settings), dtype=dtype)
    tensors = fixture.weights(case)
    assert tensors.keys() == model.gpt.params.keys()
    for name, w in tensors.items():
        model.gpt.params[name][...] = w
    return model


@pytest.fixture(params=FROZEN)
def name(request):
    return request.param


def test_the_fixture_was_made_from_these_cases(name):
    assert {key: value for key, value in FROZEN[name].items() if key != "tokens"} == fixture.CASES[name]


def test_the_fixture_ends_at_the_last_position_and_varies(name):
    case = FROZEN[name]
    assert max(case["lengths"]) + fixture.NEW == case["config"]["n_positions"]
    assert all(len(row) == fixture.NEW and len(set(row)) >= 15 for row in case["tokens"])


def test_64_greedy_tokens_equal_those_of_transformers(name):
    ids, mask = fixture.prompts(FROZEN[name])
    out = make_model(FROZEN[name]).generate(ids, attention_mask=mask, max_new_tokens=fixture.NEW)
    assert out[:, ids.shape[1] :].tolist() == FROZEN[name]["tokens"]


def test_64_greedy_tokens_are_the_argmax_of_the_uncached_model(name):
    ids, mask = fixture.prompts(FROZEN[name])
    model = make_model(FROZEN[name])
    for row, is_token, tokens in zip(ids, mask.astype(bool), FROZEN[name]["tokens"], strict=True):
        text = np.concatenate([row[is_token], tokens[:-1]])
        logits = model(text[None]).logits[0, is_token.sum() - 1 :]
        assert logits.argmax(-1).tolist() == tokens


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_live_run_gives_the_frozen_tokens(name, use_cache):
    assert fixture.continued(fixture.CASES[name], use_cache) == FROZEN[name]["tokens"]


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 2e-5)])
def test_padded_logits_and_loss_equal_those_of_transformers(dtype, atol):
    import torch

    case = fixture.CASES["three rows, padded at the left"]
    ids, mask = fixture.prompts(case)
    labels = np.where(mask, ids, -100)
    with torch.no_grad():
        theirs = fixture.reference_model(case, double=dtype == np.float64)(
            torch.tensor(ids), attention_mask=torch.tensor(mask), labels=torch.tensor(labels)
        )
    ours = make_model(case, dtype)(ids, mask, labels)
    # in float32 an error is one of the largest number: these weights give logits up to 50
    scale = 1 if dtype == np.float64 else theirs.logits.abs().max().item()
    np.testing.assert_allclose(ours.logits[mask == 1], theirs.logits.numpy()[mask == 1], rtol=0, atol=atol * scale)
    # the label of a row's first token is scored at a position of padding, where there is nothing to agree on
    labels[np.arange(3), mask.argmax(1)] = -100
    loss = make_model(case, dtype)(ids, mask, labels).loss
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(
            theirs.logits[:, :-1].flatten(0, 1), torch.tensor(labels[:, 1:]).flatten(), ignore_index=-100
        ).item()
    assert loss == pytest.approx(expected, rel=1e-10 if dtype == np.float64 else 1e-5)


@pytest.mark.reference
@pytest.mark.filterwarnings("default")       # the reference's own
def test_logits_of_gpt2_small_equal_those_of_transformers():
    import torch
    import transformers

    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    ours = GPT(GPTConfig(), seed=None)
    for name, w in theirs.transformer.state_dict().items():
        ours.params[name][...] = w.numpy()
    ids = np.random.default_rng(0).integers(0, 50_257, (2, 40))
    with torch.no_grad():
        expected = theirs(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(ours(ids), expected, rtol=0, atol=2e-5)        # float32
