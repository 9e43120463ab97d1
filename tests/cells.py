"""A reader of the HTML pictures: what they say, where and how strongly."""

import re
from html.parser import HTMLParser


class Cells(HTMLParser):
    """The elements that have a title, as (title, size of the number by its color, text), and all tags"""

    def __init__(self, page):
        super().__init__()
        self.found, self.tags, self._open = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        about = dict(attributes)
        if "title" in about and tag in ("span", "td"):
            opacity = re.search(r"background:rgba\((.*),([\d.]+)\)", about["style"])
            self._open = [about["title"], (float(opacity[2]) / 0.72) ** 2, ""]
            self.found.append(self._open)

    def handle_data(self, data):
        if self._open:
            self._open[2] += data

    def handle_endtag(self, tag):
        self._open = None
