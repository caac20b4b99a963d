from dataclasses import replace

from tests.truing.report.grid_example import START, example, figure
from truing.report.grid_contents import REFERENCE, Grid, GridData, GridPolicy
from truing.report.grid_tables import cost_table, data_tables, gap_table
from truing.report.recorded_tables import FigureTable, written


def row(table: FigureTable, group: str, policy: str) -> list[str]:
    [cells] = [one.cells for title, rows in table.groups if title == group for one in rows if one.policy == policy]
    texts = [written(cell, column.number) for cell, column in zip(cells, table.columns, strict=True)]
    return [text.replace("\u202f", " ") for text in texts]


def test_a_table_for_each_data_set_with_a_group_for_each_temperature() -> None:
    found = data_tables(example())
    assert [(one.data.name, one.shift) for one in found] == [
        ("tldr", "in distribution"),
        ("cnn", "another domain"),
        ("essays", "another length"),
    ]
    assert [title for title, _ in found[0].tables] == [
        "Quality, KL, lengths",
        "Diversity",
        "Differences over the same items",
    ]
    quality = found[0].tables[0][1]
    assert [column.metric for column in quality.columns] == ["win rate", "reward", "ROUGE-L F1", "KL", "words"]
    assert [title for title, _ in quality.groups] == ["temperature 0.3", "temperature 0.7", "temperature 1"]
    assert row(quality, "temperature 0.7", "RLOO") == [
        "72.0 % [66.0 %, 78.0 %]",
        "0.520 [0.470, 0.570]",
        "0.190 [0.175, 0.205]",
        "14.0 [13.2, 14.8]",
        "41.0 [39.0, 43.0]",
    ]
    assert row(quality, "temperature 0.7", START)[0] == "–"  # nobody plays against himself


def test_data_in_distribution_come_first() -> None:
    whole = example()
    turned = replace(whole, data=whole.data[::-1])
    assert [one.data.name for one in data_tables(turned)] == ["tldr", "essays", "cnn"]


def test_diversity_and_differences_stand_apart() -> None:
    _, (_, diversity), (_, differences) = data_tables(example())[0].tables
    assert [column.metric for column in diversity.columns] == [
        "EAD per input",
        "EAD across inputs",
        "SBERT per input",
        "SBERT across inputs",
        "self-BLEU per input",
    ]
    assert row(differences, "temperature 0.7", "RLOO − start")[0] == "0.420 [0.370, 0.470]"  # 0.52 - 0.10


def test_gaps_by_data_set_and_temperature() -> None:
    gaps = gap_table(example())
    assert gaps is not None
    assert len(gaps.groups) == 2 * 3
    assert row(gaps, "cnn (another domain), temperature 0.7", "RLOO") == ["30.0 % [22.0 %, 38.0 %]"]
    assert gap_table(replace(example(), figures=())) is None


def test_wordings_are_groups_unless_summed_up() -> None:
    by = [figure("a", "accuracy", 0.1 * i, unit="share", variant=str(i)) for i in (1, 2)]
    models = (GridPolicy("a", "model", None, None, 0, 0),)
    grid = Grid(models, (GridData("tldr", "id", 60),), (0.7,), 1, "", tuple(by))
    [one] = data_tables(grid)
    assert [title for title, _ in one.tables[0][1].groups] == [
        "temperature 0.7, wording 1",
        "temperature 0.7, wording 2",
    ]
    mean = figure("a", "accuracy: mean over wordings", 0.15, unit="share")
    [one] = data_tables(replace(grid, figures=(*by, mean)))
    assert [column.metric for column in one.tables[0][1].columns] == ["accuracy: mean over wordings"]


def test_references_have_a_row_though_they_are_no_policy() -> None:
    words = [figure(who, "words", 20.0, ends=(18, 22), unit="words") for who in (REFERENCE, "a", "stranger")]
    models = (GridPolicy("a", "model", None, None, 0, 0),)
    [one] = data_tables(Grid(models, (GridData("tldr", "id", 60),), (0.7,), 1, "", tuple(words)))
    assert [row.policy for _, rows in one.tables[0][1].groups for row in rows] == ["a", REFERENCE]


def test_a_data_set_without_figures_has_no_table() -> None:
    assert [one.tables for one in data_tables(replace(example(), figures=()))] == [(), (), ()]


def test_what_each_policy_cost() -> None:
    table = cost_table(example())
    by = {cells[0]: cells[1:] for cells in table.rows}
    # 24 300 tokens / 640 outputs, 24 300 / 96 s
    assert by["best of 4"] == ("best of 4 of start", 96.0, 640, 24300, 24300 / 640, 24300 / 96.0)
    free = replace(example(), policies=(GridPolicy("file", "recorded", None, None, 0, 0),))
    assert cost_table(free).rows == (("file", "recorded outputs", None, 0, 0, None, None),)
