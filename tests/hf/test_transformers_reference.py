"""Random models of transformers' GPT2LMHeadModel, and GPT-1's: the same logits, loss and gradients as autograd's."""

import numpy as np
import pytest

from gradients import textbook_and_engine
from minigpt import GPT, GPTConfig, weights

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]      # the reference warns of its own affairs

# Odd sizes, so that no two of them can be confused.
SIZES = {"vocab_size": 37, "n_positions": 13, "n_embd": 15, "n_layer": 2, "n_head": 3}
CONFIGS = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "three narrow layers": {"n_layer": 3, "n_inner": 7, "layer_norm_epsilon": 1e-3},
    "one head, relu": {"n_head": 1, "activation_function": "relu", "tie_word_embeddings": False},
    "exact gelu": {"activation_function": "gelu"},
}
LOGITS = {"float32": 2e-5, "float64": 1e-10}       # absolute


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def changes(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def make_theirs(changes, dtype, seed=0):
    """GPT2LMHeadModel with every parameter random: norms near 1, biases away from 0, logits of several units"""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(**SIZES | changes, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0, bos_token_id=0, eos_token_id=0)
    theirs = GPT2LMHeadModel(config).to(getattr(torch, dtype)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return theirs


def arrays(theirs):
    return {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}


def make_ours(theirs, dtype, fast=True):
    return GPT.from_state_dict(arrays(theirs), GPTConfig.from_json(theirs.config.to_json_string()), dtype=dtype, fast=fast)


def make_batch():
    return np.random.default_rng(1).integers(0, SIZES["vocab_size"], (3, SIZES["n_positions"]))


def their_logits(theirs, ids):
    import torch

    with torch.no_grad():
        return theirs(torch.tensor(ids)).logits.numpy()


@textbook_and_engine
def test_logits_equal_transformers(changes, dtype, fast):
    theirs, ids = make_theirs(changes, dtype), make_batch()
    logits = make_ours(theirs, dtype, fast)(ids)
    assert logits.dtype == dtype
    np.testing.assert_allclose(logits, their_logits(theirs, ids), rtol=0, atol=LOGITS[dtype])


def test_loss_and_every_gradient_equal_autograds(changes, dtype):
    import torch

    theirs, ids = make_theirs(changes, dtype), make_batch()
    ours = make_ours(theirs, dtype)
    labels = ids.copy()
    labels[0, 4:7] = -100                                                # does not count in either
    expected = theirs(torch.tensor(ids), labels=torch.tensor(labels)).loss
    expected.backward()
    targets = np.concatenate([labels[:, 1:], np.full((3, 1), -100)], axis=1)      # transformers shifts inside
    loss, grads = ours.loss_and_grads(ids, targets)
    # transformers takes the loss of float64 logits in float32
    assert loss == pytest.approx(expected.item(), abs=1e-6)
    theirs_by_name = {name.removeprefix("transformer."): p.grad.numpy() for name, p in theirs.named_parameters()}
    assert theirs_by_name.keys() == grads.keys()
    for name, grad in theirs_by_name.items():
        # That float32 step sets the limit in float64 too: about 1e-7 of the largest entry.
        np.testing.assert_allclose(grads[name], grad, rtol=0, atol=3e-6 * max(1, abs(grad).max()), err_msg=name)


@textbook_and_engine
def test_gradients_equal_autograds_to_the_last_digits_of_float64(changes, fast):
    import torch

    theirs, ids = make_theirs(changes, "float64"), make_batch()
    ours = make_ours(theirs, "float64", fast)
    targets = np.random.default_rng(2).integers(0, SIZES["vocab_size"], ids.shape)
    logits = theirs(torch.tensor(ids)).logits                            # and the loss in float64, unlike transformers' own
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
    expected.backward()
    loss, grads = ours.loss_and_grads(ids, targets)
    assert loss == pytest.approx(expected.item(), rel=1e-13)
    for name, parameter in theirs.named_parameters():
        ours_by_name = grads[name.removeprefix("transformer.")]
        np.testing.assert_allclose(ours_by_name, parameter.grad.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


def test_a_folder_that_transformers_saved_gives_the_same_logits(tmp_path, changes, dtype):
    theirs, ids = make_theirs(changes, dtype), make_batch()
    theirs.save_pretrained(tmp_path)
    ours = GPT.from_pretrained(tmp_path, dtype=dtype)
    np.testing.assert_allclose(ours(ids), their_logits(theirs, ids), rtol=0, atol=LOGITS[dtype])


def test_transformers_loads_a_saved_folder_and_gives_the_same_logits(tmp_path, changes, dtype):
    import torch
    from transformers import GPT2LMHeadModel

    ids = make_batch()
    ours = make_ours(make_theirs(changes, dtype), dtype)
    ours.save_pretrained(tmp_path)
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path, dtype=getattr(torch, dtype), output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    np.testing.assert_allclose(ours(ids), their_logits(theirs.eval(), ids), rtol=0, atol=LOGITS[dtype])


def test_safetensors_and_we_read_each_others_files(tmp_path):
    from safetensors import numpy as reference

    tensors = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.array([1.5])}
    weights.save(tmp_path / "ours", tensors)
    reference.save_file(tensors, tmp_path / "theirs")
    for loaded in (reference.load_file(tmp_path / "ours"), weights.load(tmp_path / "theirs")):
        assert loaded.keys() == tensors.keys()
        for name, array in tensors.items():
            np.testing.assert_array_equal(loaded[name], array)


def test_gpt2_small_with_random_weights_gives_the_same_logits_up_to_position_1024():
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config()).eval()
    ids = np.random.default_rng(0).integers(0, 50_257, (1, 1024))
    np.testing.assert_allclose(make_ours(theirs, "float32")(ids), their_logits(theirs, ids), rtol=0, atol=2e-5)


def make_gpt1(dtype):
    import torch
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    torch.manual_seed(0)
    config = OpenAIGPTConfig(**SIZES, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
    theirs = OpenAIGPTLMHeadModel(config).to(getattr(torch, dtype)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return theirs


@textbook_and_engine
def test_gpt1_gives_transformers_logits_and_gradients(dtype, fast):
    import torch

    theirs, ids = make_gpt1(dtype), make_batch()
    ours = make_ours(theirs, dtype, fast)
    assert not ours.config.pre_norm
    targets = np.random.default_rng(2).integers(0, SIZES["vocab_size"], ids.shape)
    logits = theirs(torch.tensor(ids)).logits
    np.testing.assert_allclose(ours(ids), logits.detach().numpy(), rtol=0, atol=LOGITS[dtype])
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten()).backward()
    _, grads = ours.loss_and_grads(ids, targets)
    names = {"tokens_embed": "wte", "positions_embed": "wpe"}
    theirs_by_name = {name.removeprefix("transformer."): p.grad.numpy() for name, p in theirs.named_parameters()}
    theirs_by_name = {names.get(name.split(".")[0], name.split(".")[0]) + name[name.index(".") :]: grad
                      for name, grad in theirs_by_name.items()}
    assert theirs_by_name.keys() == grads.keys()
    for name, grad in theirs_by_name.items():
        atol = (1e-11 if dtype == "float64" else 1e-5) * max(1, abs(grad).max())
        np.testing.assert_allclose(grads[name], grad, rtol=0, atol=atol, err_msg=name)


def test_gpt1s_folders_go_both_ways(tmp_path, dtype):
    import torch
    from transformers import OpenAIGPTLMHeadModel

    theirs, ids = make_gpt1(dtype), make_batch()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = GPT.from_pretrained(tmp_path / "theirs", dtype=dtype)
    np.testing.assert_allclose(ours(ids), their_logits(theirs, ids), rtol=0, atol=LOGITS[dtype])
    ours.save_pretrained(tmp_path / "ours")
    loaded, report = OpenAIGPTLMHeadModel.from_pretrained(
        tmp_path / "ours", dtype=getattr(torch, dtype), output_loading_info=True,
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    np.testing.assert_allclose(ours(ids), their_logits(loaded.eval(), ids), rtol=0, atol=LOGITS[dtype])
