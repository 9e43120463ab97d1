"""The bug lab: a small training run with one planted fault, which you find by measuring.

    from minigpt.study.exercises import bugs
    run = bugs.start(7)                         # one of 20, as new each time; without a number the first that is not solved
    run.train(300); run.loss(); run.sample()    # what is there: help(run); bugs.healthy() is the same run without a fault
    run.model.trace(*run.batch())               # measure: traces, gradcheck.check_model(run.model, …), the optimizer's steps
    run.choices()                               # the kinds of faults, and the faults of each kind
    run.answer("mask")                          # name the kind, then the fault; you are told what was to be seen where
    run.hint(); run.solution()                  # the next measurement; the planted lines beside the right ones

Everything is said in Chinese with language="zh", or where the locale is Chinese; bugs.start_over() forgets what is solved.
The faults stand in data.py, mask.py, gradient.py, optimizer.py and sampling.py, each a function that takes the place of a right
one: to read afterwards.  parts.py lists what can be replaced, model.py and run.py put the parts together, lab.py asks.
"""

from .lab import Bug, choices, healthy, hint, name, solution, start, start_over

__all__ = ["Bug", "choices", "healthy", "hint", "name", "solution", "start", "start_over"]


def __dir__() -> list[str]:
    """What one uses, for completion with Tab; the modules are read"""
    return __all__
