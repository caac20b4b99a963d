from dataclasses import replace

from tests.truing.report.example import labeler
from truing.report.contents import Estimate
from truing.report.trust_tables import by_group, confidences, series

ONE = labeler("judge", "base")
OTHER = replace(
    ONE,
    labeler="other",
    by_length=(("shorter", Estimate(0.75, 0.4, 1.0, 8)), ("longer", Estimate(0.5, 0.2, 0.8, 8))),
    by_confidence=(("60–70\u202f%", Estimate(0.75, 0.4, 1.0, 8)),),
)


def test_series_say_what_differs() -> None:
    assert series([ONE]) == ["judge"]
    assert series([ONE, OTHER]) == ["judge", "other"]
    assert series([ONE, replace(ONE, asking="detailed")]) == ["base", "detailed"]
    assert series([ONE, replace(OTHER, asking="detailed")]) == ["judge, base", "other, detailed"]


def test_ranges_of_confidence_rise() -> None:
    assert confidences([ONE, OTHER]) == ["50–60\u202f%", "60–70\u202f%", "80–90\u202f%"]


def test_groups_that_one_labeler_lacks_are_missing_there() -> None:
    lengths, ranges = by_group([ONE, OTHER])
    ns = [(line.name, [figure and figure.n for figure, _ in line.cells]) for line in lengths.lines]
    assert ns == [
        ("much shorter", [10, None]),
        ("shorter", [None, 8]),
        ("longer", [16, 8]),
        ("much longer", [14, None]),
    ]
    assert [line.name for line in ranges.lines] == confidences([ONE, OTHER])
    assert by_group([replace(ONE, by_length=(), by_confidence=())]) == []
