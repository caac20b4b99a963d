"""One way of asking a labeler: templates by domain, style and criterion; and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from truing.config.labeling import Style
from truing.labeling.consensus import OrderedLogprobs, inverted, preference_from_orders
from truing.labeling.questions import style_key
from truing.labeling.templates import Template, template_for
from truing.records import Pair, content_id


@dataclass(frozen=True)
class Asking:
    """Everything that an answer depends on, besides the pair and the labeler. `*` serves domains that are not named."""

    templates: Mapping[str, Template]
    style: Style
    criterion: str = "overall"

    def template(self, domain: str) -> Template:
        """The template of a domain.

        Raises:
            ConfigError: neither the domain nor `*` is there.
        """
        return self.templates[template_for({name: name for name in self.templates}, domain)]

    def asks_for_worse(self, domain: str) -> bool:
        """Whether the template of a domain asks which response is worse: its labels are then inverted."""
        return self.template(domain).asks_for == "worse"

    @property
    def name(self) -> str:
        """A short name for tables: preamble, exemplars, rationales, criterion and, where there is one, the template."""
        style = self.style
        parts = [style.preamble, f"{style.exemplars} exemplars" if style.exemplars else "no exemplars"]
        parts.append(
            f"{style.rationales} rationale{'s' * (style.rationales > 1)}" if style.rationales else "no rationale"
        )
        parts += [self.criterion] if self.criterion != "overall" else []
        return ", ".join(parts)

    def id(self, pair: Pair, labeler: str) -> str:
        """Identity of a label: pair, order of its responses, template, style, criterion and labeler."""
        template = self.template(pair.domain).hash
        asked = (template, style_key(self.style), self.criterion, labeler)
        return content_id("label", pair.prompt, pair.first, pair.second, *asked)


Asked = tuple[Pair, Asking]
"""A pair, and how it is asked about."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a labeler says of a pair in both orders: raw label log-probs, with the rationales where it wrote some.

    `both_orders` is False for a recorded judge that was asked in one order: `ba` is then the mirror image of `ab`, so
    that the preference is that one order's, and nothing can be said of its consistency.
    """

    ab: OrderedLogprobs
    ba: OrderedLogprobs
    rationales_ab: tuple[str, ...] = ()
    rationales_ba: tuple[str, ...] = ()
    both_orders: bool = True

    def swap(self) -> "Judgement":
        """The same judgement with the responses named the other way round."""
        return Judgement(self.ba, self.ab, self.rationales_ba, self.rationales_ab, self.both_orders)

    def p_first(self, *, asks_for_worse: bool = False) -> float:
        """P(first response preferred); swapped, 1 minus it to the last bit."""
        p = preference_from_orders(self.ab, self.ba)
        return inverted(p) if asks_for_worse else p
