from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.errors import ConfigError
from truing.labeling.templates import Exemplar, Template, load_template, parse_template, template_for

EMBEDDED = ["geval", "harmless", "helpful", "incorporated", "rating", "score", "summarize", "verdict"]

COMPARE = """---
labels: ["A", "B"]
asks_for: better
criteria:
  overall: better
  wit: wittier
exemplars:
  - {prompt: "Why?", first: So., second: Because., rationale: It says why., answer: B}
  - prompt: |
      Which?
      ---
    first: This.
    second: That.
    answer: A
---
# base
Judge.
# detailed
Judge well.

Think.
# user
<request>{{prompt}}</request>
<response_1>{{first}}</response_1>
<response_2>{{second}}</response_2>
# question
Which is {{criterion}}?
# explain
Say which is {{criterion}}.
# answer
Better:
"""
GRADE = """---
labels: [1, 2, 3]
asks_for: score
---
# base
Grade.
# user
<steps>{{steps}}</steps><request>{{prompt}}</request><response>{{first}}</response>
# question
How good?
# answer
Score=
# steps
Write steps.
"""
REPLY = """---
labels: [A, B]
asks_for: better
read: reply
---
# base
Judge.
# user
<request>{{prompt}}</request><response_1>{{first}}</response_1><response_2>{{second}}</response_2>
# question
Which?
"""

# --- what a file says ------------------------------------------------------------------------------------------------


def test_every_part_of_a_file() -> None:
    template = parse_template("mine", COMPARE)
    assert template == Template(
        name="mine",
        hash=template.hash,
        labels=("A", "B"),
        asks_for="better",
        read="likelihood",
        criteria=(("overall", "better"), ("wit", "wittier")),
        exemplars=(
            Exemplar("Why?", "So.", "Because.", "", "B", "It says why."),
            Exemplar("Which?\n---", "This.", "That.", "", "A", ""),
        ),
        base="Judge.",
        detailed="Judge well.\n\nThink.",
        user="<request>{{prompt}}</request>\n<response_1>{{first}}</response_1>\n<response_2>{{second}}</response_2>",
        question="Which is {{criterion}}?",
        explain="Say which is {{criterion}}.",
        answer="Better:",
        steps="",
    )


def test_parts_and_fields_that_may_be_left_out() -> None:
    grade, reply = parse_template("g", GRADE), parse_template("r", REPLY)
    assert (grade.labels, grade.steps, grade.detailed, grade.explain) == (("1", "2", "3"), "Write steps.", "", "")
    assert (grade.read, grade.criteria, grade.exemplars) == ("likelihood", (), ())
    assert (reply.labels, reply.read, reply.answer) == (("A", "B"), "reply", "")
    # YAML reads a bare yes as true; where it can only mean the word, it does.
    text = REPLY.replace("better", "yes").replace("</request>", "</request><feedback>{{feedback}}</feedback>")
    assert parse_template("mine", text).asks_for == "yes"


def test_what_each_embedded_one_asks() -> None:
    found = {}
    for template in map(load_template, EMBEDDED):
        parts = (template.asks_for, template.read, " ".join(template.labels), len(template.exemplars))
        found[template.name] = (*parts, " ".join(criterion for criterion, _ in template.criteria))
    assert found == {
        "geval": ("score", "likelihood", "1 2 3 4 5", 0, "overall coherence consistency fluency relevance"),
        "harmless": ("worse", "likelihood", "1 2", 2, ""),
        "helpful": ("better", "likelihood", "1 2", 2, ""),
        "incorporated": ("yes", "likelihood", "Yes No", 0, ""),
        "rating": ("score", "reply", "1 2 3 4 5 6 7 8 9 10", 0, ""),
        "score": ("score", "likelihood", "1 2 3 4 5 6 7 8 9 10", 0, ""),
        "summarize": ("better", "likelihood", "1 2", 2, "overall coherence accuracy coverage"),
        "verdict": ("better", "reply", "A B", 0, ""),
    }


def test_texts_are_filled_in_and_criteria_named() -> None:
    compare, grade = parse_template("mine", COMPARE), parse_template("mine", GRADE)
    texts = {"prompt": "{{first}}", "first": "</steps>", "steps": "1. {{prompt}}"}
    assert grade.filled(grade.user, texts) == (
        "<steps>1. {{prompt}}</steps><request>{{first}}</request><response>(/steps)</response>"
    )
    assert compare.about(compare.question, "wit") == "Which is wittier?"
    assert grade.about(grade.question, "overall") == grade.question
    no_steps = "shows evaluation steps and none are given; let the judge write them once with its part `# steps`"
    for ask, reason in [
        (lambda: compare.about("", "pun"), "has no criterion 'pun'; use overall, wit or add it to `criteria`"),
        (lambda: grade.about("", "pun"), "has no criterion 'pun'; use overall or add it to `criteria`"),
        (lambda: grade.filled(grade.user, texts | {"steps": ""}), no_steps),
    ]:
        with pytest.raises(ConfigError) as error:
            ask()
        assert str(error.value) == f"template mine: {reason}"


# --- versions and files ----------------------------------------------------------------------------------------------


@given(st.integers(0, len(COMPARE)), st.characters(codec="utf-8"))
def test_any_character_makes_another_version(at: int, character: str) -> None:
    shorter = COMPARE[:at] + COMPARE[at + 1 :]
    for edited in {COMPARE[:at] + character + COMPARE[at:], shorter} - {COMPARE}:
        try:
            found = parse_template("mine", edited).hash
        except ConfigError:
            continue
        assert found != parse_template("mine", COMPARE).hash


def test_the_version_is_that_of_the_text_alone() -> None:
    edits = [COMPARE, COMPARE + "\n", COMPARE.replace("Judge.", "judge."), COMPARE.replace("Judge.", "Judge. ")]
    assert len({parse_template("mine", text).hash for text in edits}) == 4
    assert parse_template("mine", COMPARE).hash == parse_template("other", COMPARE).hash
    assert len({load_template(name).hash for name in EMBEDDED}) == 8


def test_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "terse.md"
    path.write_text(COMPARE, encoding="utf-8")
    assert load_template(str(path)) == parse_template("terse", COMPARE)
    path.write_bytes(COMPARE.replace("\n", "\r\n").encode())
    assert load_template(str(path)) == parse_template("terse", COMPARE)
    path.write_text(f"\ufeff\n{COMPARE}", encoding="utf-8")
    assert load_template(str(path)).base == "Judge."
    path.write_text("Judge.", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^template terse: begins with a header between"):
        load_template(str(path))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing, latin, folder = tmp_path / "none.md", tmp_path / "latin.md", tmp_path / "folder.md"
    latin.write_bytes(COMPARE.replace("Judge", "Jug\xe9").encode("latin-1"))
    folder.mkdir()
    for path, reason in [(missing, "No such file"), (latin, "invalid continuation byte"), (folder, "directory")]:
        with pytest.raises(ConfigError, match=reason) as error:
            load_template(str(path))
        assert str(error.value).startswith(f"{path}: the template cannot be read (")
        assert str(error.value).endswith("); give a UTF-8 Markdown file")


def test_a_domain_has_its_template_or_the_stars() -> None:
    templates = {"harmless": "harmless", "*": "helpful"}
    assert [template_for(templates, domain) for domain in ("harmless", "poems")] == ["harmless", "helpful"]
    with pytest.raises(ConfigError) as error:
        template_for({"harmless": "harmless"}, "poems")
    assert str(error.value) == "label.templates: has no template for domain 'poems' and no '*'; add one of them"


# --- what is refused -------------------------------------------------------------------------------------------------

PLAIN = REPLY.replace("read: reply\n", "") + "# answer\nBetter:\n"
"""The least that reads a likelihood: no criteria, no exemplars."""
HEADER = "begins with a header between two lines of ---; see the embedded ones"
CHOICES = "write one of better, worse, score, yes"
TWO = 'write two different ones, e.g. ["1", "2"]'
NUMBERS = "to score, write the whole numbers from 1 up, e.g. [1, 2, 3, 4, 5]"
NEEDED = "a template has base, user, question, answer"
UNFILLED = "which nothing fills there; take it out"
OUTSIDE = "write it between <request> and </request>, or response, response_1, response_2, feedback, steps"
CRITERIA = "criteria needs a phrase for each name, `overall` among them"
UNSHOWN = "the judge would not see it"
UNASKED = "has criteria, and a question or explain part without {{criterion}}; write it there"
NO_LIST = "exemplars is no list; each has prompt, first, second, answer and maybe a rationale"
EXEMPLAR = "it has prompt, first, second, answer (one of A, B) and maybe a rationale"
NO_REPLY = "but reads the whole reply; take it out, or `read: reply`"
NO_LABEL = "has exemplars, which show a label, but reads a reply; take them or `read: reply` out"
A_REQUEST = "<request>{{prompt}}</request>"


@pytest.mark.parametrize(
    ("text", "old", "new", "reason"),
    [
        # the header
        (PLAIN, "---\nlabels", "labels", HEADER),
        (PLAIN, "---\nlabels", "Words.\n---\nlabels", HEADER),
        (PLAIN, "better\n---\n", "better\n  ---\n", HEADER),
        (PLAIN, "labels: [A, B]\nasks_for: better\n", "", "its header needs `labels` and `asks_for`"),
        (PLAIN, "labels: [A, B]\nasks_for: better\n", "[A, B]\n", "its header needs `labels` and `asks_for`"),
        (PLAIN, "asks_for", "ask", "its header has a field 'ask'; the fields are labels, asks_for, read, criteria, exemplars"),
        (PLAIN, "asks_for: better\n", "", f"asks_for is None; {CHOICES}"),
        (PLAIN, "asks_for: better", "asks_for: best", f"asks_for is 'best'; {CHOICES}"),
        (PLAIN, "asks_for: better", "asks_for: no", f"asks_for is 'no'; {CHOICES}"),
        (REPLY, "read: reply", "read: both", "read is 'both'; write one of likelihood, reply"),
        # labels
        (PLAIN, "labels: [A, B]\n", "", f"labels is None; {TWO}"),
        (PLAIN, "[A, B]", "12", f"labels is 12; {TWO}"),
        (PLAIN, "[A, B]", "[A]", f"labels is ['A']; {TWO}"),
        (PLAIN, "[A, B]", "[A, A]", f"labels is ['A', 'A']; {TWO}"),
        (PLAIN, "[A, B]", "[A, B, C]", f"labels is ['A', 'B', 'C']; {TWO}"),
        (PLAIN, "[A, B]", '[A, " "]', f"labels is ['A', ' ']; {TWO}"),
        (PLAIN, "[A, B]", "[Yes, No]", 'labels holds a bare Yes or No, which YAML reads as true or false; write ["Yes", "No"]'),
        (GRADE, "[1, 2, 3]", "[1]", f"labels is [1]; {NUMBERS}"),
        (GRADE, "[1, 2, 3]", "[0, 1, 2]", f"labels is [0, 1, 2]; {NUMBERS}"),
        (GRADE, "labels: [1, 2, 3]\n", "", f"labels is None; {NUMBERS}"),
        # parts
        (PLAIN, "# base", "Hello there\n# base", "has text before its first part: 'Hello'; begin with `# base`"),
        (PLAIN, "# question", "# ask", "has a part `# ask`; the parts are base, detailed, user, question, explain, answer, steps"),
        (PLAIN, "# base\n", "# base\nx\n# base\n", "has a part twice: `# base`"),
        (PLAIN, "# base\nJudge.\n", "", f"has no part `# base`; {NEEDED}"),
        (PLAIN, "# question\nWhich?\n", "", f"has no part `# question`; {NEEDED}"),
        (PLAIN, "Better:", " ", f"has no part `# answer`; {NEEDED}"),
        (REPLY, "Which?", "", "has no part `# question`; a template has base, user, question"),
        (REPLY, "Which?", "Which?\n# answer\nBetter:", f"has a part `# answer` {NO_REPLY}"),
        (REPLY, "Which?", "Which?\n# explain\nWhy?", f"has a part `# explain` {NO_REPLY}"),
        (GRADE, "Score=", "Score=\n# explain\n?", "has a part `# explain`, which only serves templates that compare; take it out"),
        (PLAIN, "Which?", "Which?\n# steps\nAsk.", "has a part `# steps`, which only serves templates that score; take it out"),
        # slots and fences
        (PLAIN, "{{prompt}}", "", f"its user part has no {{{{prompt}}}}; {UNSHOWN}"),
        (PLAIN, "{{first}}", "{{frist}}", f"its user part has no {{{{first}}}}; {UNSHOWN}"),
        (PLAIN, "{{second}}", "{{first}}", f"its user part has no {{{{second}}}}; {UNSHOWN}"),
        (PLAIN, "better", "yes", f"its user part has no {{{{feedback}}}}; {UNSHOWN}"),
        (GRADE, "{{first}}", "", f"its user part has no {{{{first}}}}; {UNSHOWN}"),
        (PLAIN, A_REQUEST, A_REQUEST + "<feedback>{{feedback}}</feedback>", f"its user part has {{{{feedback}}}}, {UNFILLED}"),
        (PLAIN, "Judge.", "Judge {{prompt}}.", f"its base part has {{{{prompt}}}}, {UNFILLED}"),
        (PLAIN, "Which?", "Which is {{criterion}}?", f"its question part has {{{{criterion}}}}, {UNFILLED}"),
        (COMPARE, "Judge.", "Judge {{criterion}}.", f"its base part has {{{{criterion}}}}, {UNFILLED}"),
        (COMPARE, "Better:", "{{first}}:", f"its answer part has {{{{first}}}}, {UNFILLED}"),
        (GRADE, "# steps\nWrite steps.\n", "", f"its user part has {{{{steps}}}}, {UNFILLED}"),
        (GRADE, "{{steps}}", "", "has a part `# steps` that is shown nowhere; write {{steps}} in its user or base part"),
        (PLAIN, A_REQUEST, "{{prompt}}", f"its user part has {{{{prompt}}}} outside of markers; {OUTSIDE}"),
        (PLAIN, A_REQUEST, A_REQUEST + "{{prompt}}", f"its user part has {{{{prompt}}}} outside of markers; {OUTSIDE}"),
        (GRADE, "<steps>{{steps}}</steps>", "{{steps}}", f"its user part has {{{{steps}}}} outside of markers; {OUTSIDE}"),
        # criteria
        (COMPARE, "  overall: better\n", "", CRITERIA),
        (COMPARE, "  overall: better\n  wit: wittier\n", "  [overall]\n", CRITERIA),
        (COMPARE, "wit: wittier", "wit: 2", CRITERIA),
        (COMPARE, "Which is {{criterion}}?", "Which?", UNASKED),
        (COMPARE, "Say which is {{criterion}}.", "Why?", UNASKED),
        # exemplars
        (PLAIN, "better\n", "better\nexemplars: 2\n", NO_LIST),
        (PLAIN, "better\n", "better\nexemplars: [Hm]\n", f"exemplar 1: 'answer' is missing or unknown; {EXEMPLAR}"),
        (COMPARE, "    second: That.\n", "", f"exemplar 2: 'second' is missing or unknown; {EXEMPLAR}"),
        (COMPARE, "first: This.", "first:", f"exemplar 2: 'first' is missing or unknown; {EXEMPLAR}"),
        (COMPARE, "rationale", "reason", f"exemplar 1: 'reason' is missing or unknown; {EXEMPLAR}"),
        (COMPARE, "answer: A", "answer: C", f"exemplar 2: its answer is 'C'; {EXEMPLAR}"),
        (REPLY, "better\n", "better\nexemplars: [{prompt: p, first: f, second: s, answer: A}]\n", NO_LABEL),
    ],
)  # fmt: skip
def test_a_bad_template_is_refused_in_one_line(text: str, old: str, new: str, reason: str) -> None:
    assert text.count(old) == 1
    with pytest.raises(ConfigError) as error:
        parse_template("mine", text.replace(old, new))
    assert str(error.value) == f"template mine: {reason}"


def test_the_reason_of_a_header_that_is_not_yaml_is_one_line_too() -> None:
    with pytest.raises(ConfigError) as error:
        parse_template("mine", PLAIN.replace("[A, B]", "[A, B"))
    assert str(error.value).startswith("template mine: its header is not YAML: while parsing a flow sequence")
    assert "\n" not in str(error.value)
