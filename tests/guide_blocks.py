"""The YAML blocks of ``rules/README.md``, each as a file that can be read.

One with ``rules`` or ``templates`` is a file. Others are parts of a rule, completed by what a rule needs besides.
``<!-- broken -->`` before a block says that it has mistakes, which the block of text behind it shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rules_tables import EXAMPLES, PAGE

__all__ = ["Block", "blocks"]

_BLOCK = re.compile(
    r"^(?P<broken><!-- broken -->\n)?```yaml\n(?P<text>.*?)^```\n(?:\n```text\n(?P<said>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_BESIDE = (EXAMPLES / "boiler-overheat.yaml", EXAMPLES / "local-display.yaml")
_WHOLE = re.compile(r"^(rules|templates|tags|tests):", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """``text`` is the file; ``problems`` are the lines that the page shows for a broken one.

    ``others`` are files that stand beside it: what a part of a rule may name.
    """

    name: str
    text: str
    problems: tuple[str, ...] | None
    others: Mapping[str, str]

    @property
    def has_tests(self) -> bool:
        """Whether it is to be run, and not only read."""
        return re.search(r"^tests:", self.text, re.MULTILINE) is not None


def blocks() -> list[Block]:
    """All of the page, named by the line in which each stands."""
    page = PAGE.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(page):
        line = page.count("\n", 0, match.start("text")) + 1
        said = tuple(match["said"].splitlines()) if match["broken"] else None
        others = {} if _WHOLE.search(match["text"]) else {one.name: one.read_text(encoding="utf-8") for one in _BESIDE}
        found.append(Block(f"line-{line}", completed(match["text"]), said, others))
    return found


def completed(text: str) -> str:
    """The block as a file."""
    if _WHOLE.search(text):
        return text
    keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    lacking = "" if "on" in keys else "on: {profile: boiler}\n"
    lacking += "" if "do" in keys else 'do: [{log: "{device}"}]\n'
    inside = "".join(f"    {line}\n" if line else "\n" for line in (text + lacking).splitlines())
    return f"rules:\n  - id: block\n{inside}"
