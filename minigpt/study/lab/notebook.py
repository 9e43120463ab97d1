"""The lab in a notebook: a server in a thread of its own, and a frame that shows its page."""

from __future__ import annotations

import html
import os
import threading
from typing import TYPE_CHECKING

from .requests import Lab
from .serving import Server

if TYPE_CHECKING:
    from ...models.gpt import GPT


class Frame:
    """A running lab; a notebook shows its page in a frame.  `address` opens in any browser on this machine."""

    def __init__(self, lab: Lab, height: int) -> None:
        self._server, self._height = Server(lab, port=0, framed=True), height
        self.address = self._server.address
        threading.Thread(target=self._server.serve_forever, name="lab", daemon=True).start()

    def close(self) -> None:
        """End the server; the page then no longer answers."""
        self._server.shutdown()
        self._server.server_close()

    def __repr__(self) -> str:
        return f"lab at {self.address}; close() ends it"

    def _repr_html_(self) -> str:
        return (f'<iframe src="{html.escape(self.address)}" style="display:block;box-sizing:border-box;width:100%;'
                f'height:{self._height}px;border:1px solid #8884" '
                'title="lab"></iframe>')


def show(model: GPT, run: str | os.PathLike[str] | None = None, height: int = 720) -> Frame:
    """Start the lab on a model -> Frame, which a notebook on this machine shows.

        lab.show(model)

    run: the folder of a training run, for the view of its curves.  height: of the frame, in pixels.  The model is shared, not
    copied, and passes are kept: after a change of its weights call show() again.
    Raises ValueError for a model whose attention looks ahead, for it predicts no next token.
    """
    return Frame(Lab(model, run), height)
