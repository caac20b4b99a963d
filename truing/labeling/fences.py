"""Fences: judged text stands between marker lines, with nothing in it that could end them or open a chat turn."""

import re

MARKERS = ("request", "response", "response_1", "response_2", "feedback", "steps")

SLOT = re.compile(r"\{\{(\w+)\}\}")

_NAMES = "|".join(MARKERS)
_FENCED_SLOT = re.compile(rf"<({_NAMES})>\s*\{{\{{(\w+)\}}\}}\s*</\1>")
_MARKER = re.compile(rf"<\s*+(/?\s*+(?:{_NAMES})\b[^<>]*+)>", re.IGNORECASE)
_CONTROL = re.compile(
    r"<\|([^|<>]{1,40})\|>"  # ChatML, Llama 3, Phi
    r"|<\|([^|<>\s]{1,40})>|<([^|<>\s]{1,40})\|>"  # Gemma 4
    r"|\[\|([^|\[\]]{1,40})\|\]"  # EXAONE
    r"|<｜([^｜<>]{1,40})｜>"  # DeepSeek
    r"|<((?:start|end)_of_turn|/?s|bos|eos)>"  # Gemma, Llama 2
    r"|<<(/?SYS)>>|\[(/?(?:INST|SYSTEM_PROMPT|TOOL_RESULTS))\]"  # Llama 2, Mistral
)


def fenced(text: str) -> str:
    """The text with nothing in it that could end a fence or open a chat turn.

    Markers (whatever stands behind their names) and the control tokens of the usual chat templates are put into
    parentheses: `(/response_1)`, `(im_end)`; again and again, since one may hide in another: `</response_1 <s>>`.
    """
    while True:
        inside = _CONTROL.sub(lambda m: f"({m.group(m.lastindex or 0)})", _MARKER.sub(r"(\1)", text))
        if inside == text:
            return inside
        text = inside


def slots_inside(part: str) -> list[str]:
    """The slots of a template's part that stand alone between the two markers of one name."""
    return [slot for _, slot in _FENCED_SLOT.findall(part)]
