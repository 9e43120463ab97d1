"""The lab: a page on one's own machine to play a model, look at both passes, change them, and watch a training run.

    python -m minigpt lab                       in a browser
    from minigpt.study import lab
    lab.show(model)                             in a notebook

serving.py is the server, requests.py what it answers, from passes.py, changes.py, drawing.py and runs.py; the page is in
assets/lab/.  Every number comes from a public function: model.trace, model.run, model.candidates, read_log.
"""

from .notebook import Frame, show

__all__ = ["Frame", "show"]
