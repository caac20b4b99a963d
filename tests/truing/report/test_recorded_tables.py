from tests.truing.report.recorded_example import comparisons, figure, judges, outputs, preferences
from truing.report.recorded_tables import notes, number_of, tables, written


def heads(one) -> list[list[str]]:
    return [[column.metric for column in table.columns] for table in tables(one.figures)]


def test_a_table_for_the_metrics_that_the_same_policies_have() -> None:
    assert heads(outputs()) == [
        ["words", "EAD across inputs", "ROUGE-1 F1"],
        ["Δ words", "Δ EAD across inputs", "Δ ROUGE-1 F1"],
    ]
    # Over all criteria there are orderings alone.
    assert heads(judges()) == [
        [f"Spearman, {level} level" for level in ("summary", "sample", "system")],
        ["system ordering"],
    ]
    assert [len(table.groups) for table in tables(judges().figures)] == [2, 3]


def test_rows_keep_their_order_and_their_places() -> None:
    [first, _] = tables(outputs().figures)
    [(variant, rows)] = first.groups
    assert variant == ""
    assert [row.policy for row in rows] == ["sft", "TL;DR"]
    texts = [written(cell, column.number) for cell, column in zip(rows[0].cells, first.columns, strict=True)]
    assert texts == ["23.9 [18.5, 30.3]", "0.891 [0.879, 0.904]", "–"]
    assert [column.unit for column in first.columns] == ["", "", ""]  # words of words
    assert [column.unit for column in tables(preferences().figures)[0].columns] == ["%", ""]


def test_numbers_follow_their_unit() -> None:
    assert number_of("share", [0.123])(0.123) == "12.3\u202f%"
    assert number_of("count", [1200.0])(1200) == "1\u202f200"
    assert number_of("%", [12.34])(12.34) == "12.3"
    assert number_of("characters", [728.0, 43.0])(43.21) == "43"
    fine = tables([figure("a", "3-gram cosine diversity across inputs", 0.99934, ends=(0.999, 0.9996))])[0]
    assert written(fine.figures[0], fine.columns[0].number) == "0.9993 [0.9990, 0.9996]"
    place = tables(comparisons().figures)[0]
    cells = zip(place.groups[0][1][0].cells, place.columns, strict=True)
    said = [written(cell, column.number).replace("\u202f", " ") for cell, column in cells]
    assert said == ["33.0 % [30.0 %, 36.0 %]", "75.0 % [70.0 %, 80.0 %]", "< 0.001"]


def test_notes_name_whom_they_are_about_unless_it_is_everybody() -> None:
    [table] = tables(preferences().figures)
    assert notes(table) == ["win rate: against base.", "Not counted: bad 1."]
    first, _ = tables(outputs().figures)
    assert notes(first)[0] == "ROUGE-1 F1: sft: 100 no reference TL;DR."
    assert notes(first)[1] == "Not counted: sft 100, TL;DR 1."
    many = tables([figure(f"p{i}", "m", 1.0, note=f"note {i}") for i in range(7)])[0]
    assert notes(many)[0].endswith("p4: note 4; 2 more notes.")
