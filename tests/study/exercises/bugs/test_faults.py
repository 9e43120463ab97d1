"""Each of the twenty faults is found by its measurement, which is fine on a right run; and what the runs are made of."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from minigpt import GPT
from minigpt.nn.cross_entropy import IGNORED
from minigpt.study.exercises.bugs.lab import FAULTS, KINDS, NUMBERED
from minigpt.study.exercises.bugs.parts import Parts
from minigpt.study.exercises.bugs.run import Run
from minigpt.study.gradcheck import check_model
from minigpt.training.optim import AdamW, clip_scale, gradient_norm

SHOWN = {       # fault: what its measurement gives on a right run, and with the fault
    "targets_not_shifted": (1, 0),
    "training_reads_validation": (0, pytest.approx(80, abs=40)),        # the last fifth of the text, of 400 rows
    "rows_scrambled": (4, 0),
    "mask_sees_next": ("0, 0", "2, 2"),                                 # one position a block
    "mask_missing_at_evaluation": ("0, 0", "7, 0"),
    "scale_missing": (pytest.approx(8**-0.5), pytest.approx(1)),
    "positions_restart": (32, 16),
    "dropout_at_evaluation": (0, pytest.approx(0.1, abs=0.03)),
    "gradient_not_zeroed": (pytest.approx(1), pytest.approx(2)),
    "tied_gradient_dropped": ("0", "1: wte.weight, …"),
    "layernorm_mean_missing": ("0", "26: h.1.mlp.c_proj.weight, …"),
    "softmax_backward_wrong_axis": ("0", "18: h.1.attn.c_attn.weight, …"),
    "decay_on_norms": (0, 5),
    "bias_correction_missing": (pytest.approx(1, rel=1e-5), pytest.approx(10**0.5, rel=1e-4)),
    "warmup_in_tokens": (1, 1 / 128),
    "clip_each_array": (pytest.approx(1, rel=1e-5), pytest.approx(28**0.5, rel=1e-5)),     # 28 arrays of length 1
    "first_position": (1, 0),
    "top_k_keeps_smallest": ("2, 3", "0, 1"),
    "temperature_multiplied": (pytest.approx(2), pytest.approx(0.5)),
    "cache_not_advanced": (pytest.approx(0, abs=1e-12), pytest.approx(0.3, abs=0.2)),
}

PROMPT = "Shall I compare thee to a su"         # four more characters fit


def run_with(name, trained=0):
    """A run with a fault, or with none for None, after so many steps"""
    run = Run(Parts(**({FAULTS[name].part: FAULTS[name].planted} if name else {})))
    for _ in range(trained):
        step(run)
    return run


def step(run):
    loss, grads = run.gradient(*run.batch())
    run.optimizer.step(grads)
    return loss


def outcome(run):
    """What two steps of training, the validation loss and samples are"""
    return [step(run), step(run), run.loss()], [run.sample(PROMPT), run.sample(PROMPT, temperature=0.5, top_k=3)]


# The faults


def test_there_are_twenty_faults_of_five_kinds_each_in_the_file_of_its_kind():
    assert len(FAULTS) == 20
    assert FAULTS.keys() == SHOWN.keys()
    for fault in FAULTS.values():
        assert fault.planted.__module__.endswith(f".{fault.kind}")
        assert fault.kind in KINDS
    assert {fault.kind for fault in FAULTS.values()} == KINDS.keys()


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_is_shown_by_its_measurement_which_is_fine_on_a_right_run(name):
    right, here = SHOWN[name]
    measure = FAULTS[name].shown_by.measure
    assert measure(run_with(None)) == right
    assert measure(run_with(name)) == here


@pytest.mark.parametrize("name", SHOWN)
def test_with_the_right_lines_in_place_of_the_planted_ones_a_run_is_right(name):
    fault = FAULTS[name]
    space = dict(fault.planted.__globals__)
    exec(compile(fault.mended, name, "exec"), space)
    losses, samples = outcome(Run(replace(Parts(), **{fault.part: space[name]})))
    right_losses, right_samples = outcome(Run())
    np.testing.assert_allclose(losses, right_losses, rtol=1e-13)        # the same numbers, perhaps summed in another order
    assert samples == right_samples
    lines = [line[0] for line in fault.difference.splitlines()]
    assert lines.count("+") == 1, "one right line"
    assert lines.count("−") <= 1, "one planted line"


def test_measurements_tell_faults_that_they_share_apart():
    shared = {}
    for name, (right, here) in SHOWN.items():
        shared.setdefault(FAULTS[name].shown_by, [right]).append(here)
    for measured, values in shared.items():
        assert len(values) == 2 or len(set(values)) == len(values), measured.question


def test_runs_with_faults_and_right_ones_beside_them_do_not_touch_each_other():
    right = Run()
    gpt = GPT(right.model.config, dtype=np.float64, fast=False)
    batch = right.batch()

    def pass_of_gpt():
        return gpt.loss_and_grads(*batch)[0], gpt(batch[0]).tolist(), gpt.flat_grads.tolist()

    expected, together = pass_of_gpt(), []
    for name in SHOWN:
        together.append(run_with(name))
        assert step(together[-1]) == step(run_with(name)), name
        assert pass_of_gpt() == expected, f"minigpt's own model after a step with {name}"
    for name, run in zip(SHOWN, together, strict=True):
        step(run)
        sample = run.sample(PROMPT, temperature=0.5, top_k=3)
        alone = run_with(name, trained=2)
        np.testing.assert_array_equal(run.model.flat_params, alone.model.flat_params, name)
        assert sample == alone.sample(PROMPT, temperature=0.5, top_k=3), name
    alone = Run()
    alone.batch()       # one was taken above
    assert [step(right), step(right)] == [step(alone), step(alone)]


def test_the_numbers_of_bugs_tell_nothing_about_their_kinds():
    assert sorted(fault.name for fault in NUMBERED) == sorted(FAULTS)
    kinds = [fault.kind for fault in NUMBERED]
    assert len(set(kinds[:5])) > 2
    assert sum(one == other for one, other in pairwise(kinds)) < 8       # sorted by kind: 15


# The right run


def test_the_model_of_a_right_run_is_minigpts_gpt():
    run = Run()
    gpt = GPT(run.model.config, 0, np.float64, fast=False)
    ids, targets = run.batch()
    targets[0, 3] = IGNORED
    ours, theirs = (model.trace(ids, targets) for model in (run.model, gpt))
    assert list(ours) == list(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name].value, theirs[name].value, rtol=1e-12, atol=1e-15, err_msg=name)
        np.testing.assert_allclose(ours[name].grad, theirs[name].grad, rtol=1e-12, atol=1e-15, err_msg=name)
    one, other = (model.loss_and_grads(ids, targets, dropout_key=(1, 2))[0] for model in (run.model, gpt))
    assert one == pytest.approx(other, rel=1e-14)


def test_gradcheck_with_its_own_tolerance_finds_a_right_run_all_right():
    run = Run()
    assert not check_model(run.model, *(x[:1, :8] for x in run.batch()), samples=1).wrong


def test_the_optimizer_of_a_right_run_is_minigpts_adamw():
    run = Run()
    gpt = GPT(run.model.config, 0, np.float64, fast=False)
    adamw = AdamW(gpt, betas=run.optimizer.betas, weight_decay=run.optimizer.weight_decay)
    rng = np.random.default_rng(0)
    for t in (1, 2, 3):
        grads = {name: rng.standard_normal(w.shape) * 10.0**-t for name, w in gpt.params.items()}   # the last is not clipped
        run.optimizer.step(grads)
        for name, g in grads.items():
            gpt.grads[name][...] = g
        adamw.step(1e-2 * t / 20, clip_scale(gradient_norm(gpt.flat_grads, gpt.pool), 1.0))
    for name, w in gpt.params.items():
        np.testing.assert_allclose(run.model.params[name], w, rtol=1e-9, atol=1e-12, err_msg=name)


def test_samples_of_a_right_run_are_those_of_generate():
    run = run_with(None, trained=25)
    ids = run.tokenizer.encode("Shall I")
    expected = run.model.generate(ids, 25, temperature=0)
    assert run.sample(top_k=1) == run.tokenizer.decode(expected)


@pytest.mark.parametrize("prompt", ["", "x" * 33])
def test_a_prompt_that_the_model_cannot_read_is_refused(prompt):
    with pytest.raises(ValueError, match=f"prompt: {len(prompt)} characters, expected 1 to 32"):
        Run().sample(prompt)


def test_training_prints_both_losses_and_returns_one_of_each_step(capsys):
    run = Run(language="en")
    losses = run.train(3)
    assert losses == [step(alone) for alone in [Run()] for _ in range(3)]
    assert capsys.readouterr().out == f"after 3 steps: loss {np.mean(losses):.2f} in training, {run.loss():.2f} in validation\n"
    with pytest.raises(ValueError, match="steps: 0, expected a whole number from 1"):
        run.train(0)
