from tests.truing.report.example import EMPTY, contents, labeler
from truing.report.contents import Measured
from truing.report.panels import panels, trust_panels


def titles(*asked: tuple[str, str]) -> list[str]:
    measured = Measured(tuple(labeler(name, asking) for name, asking in asked), (), None)
    return [panel.title for panel in trust_panels("labeler", measured)]


def names(*asked: tuple[str, str]) -> list[list[str]]:
    """The legends of the plots by length."""
    measured = Measured(tuple(labeler(name, asking) for name, asking in asked), (), None)
    found = trust_panels("labeler", measured)
    return [[bar.name for bar in panel.figure.data] for panel in found if "length" in panel.id]


def test_one_labeler_has_three_plots() -> None:
    assert titles(("judge", "base")) == ["Reliability", "Agreement by length", "Agreement by confidence"]


def test_labelers_asked_alike_share_plots_and_so_do_ways_of_asking_one() -> None:
    assert names(("judge", "base"), ("other", "base")) == [["judge", "other"]]
    assert names(("judge", "base"), ("judge", "detailed")) == [["base", "detailed"]]


def test_several_labelers_asked_in_several_ways_have_plots_of_their_own() -> None:
    asked = [(name, way) for name in ("judge", "other") for way in ("base", "detailed")]
    assert names(*asked) == [["base", "detailed"], ["base", "detailed"]]
    assert titles(*asked)[::3] == ["Reliability: judge", "Reliability: other"]


def test_more_than_four_are_parted() -> None:
    asked = [("judge", f"way {i}") for i in range(5)]
    assert names(*asked) == [["way 0", "way 1", "way 2", "way 3"], ["way 4"]]
    assert titles(*asked)[::3] == ["Reliability (1 of 2)", "Reliability (2 of 2)"]


def test_sections_without_data_have_no_plots() -> None:
    assert not any(panels(EMPTY).values())
    assert all(panels(contents()).values())
