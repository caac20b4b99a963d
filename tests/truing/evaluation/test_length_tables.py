from pathlib import Path

import pytest

from truing.errors import ConfigError
from truing.evaluation.length_tables import read_difficulty, read_gamed

GAMED = (
    "index,model,preference,std_delta_len,instruction_difficulty,not_gamed_baseline\n"
    "1,verbose,0.6,-1.5,0.25,False\n0,verbose,0.5,-1,-0.5,False\n1,concise,0.4,1.5,0.25,False\n"
)


def test_the_gamed_rows_and_the_difficulties_in_them(tmp_path: Path) -> None:
    path = tmp_path / "df_gamed.csv"
    path.write_text(GAMED, encoding="utf-8")
    found = read_gamed(str(path))
    assert (found.preferences, found.standardised_gaps) == ([0.6, 0.5, 0.4], [-1.5, -1, 1.5])
    assert (found.difficulty, found.models) == ([0.25, -0.5, 0.25], 2)
    assert read_difficulty(str(path)) == [-0.5, 0.25]


def test_a_table_of_difficulties_as_pandas_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "instruction_difficulty.csv"
    path.write_text(",instruction_difficulty\n0,1.5\n1,-2\n", encoding="utf-8")
    assert read_difficulty(str(path)) == [1.5, -2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,instruction_difficulty\n1,2\n", "there is no row of index 0"),
        (
            "index,instruction_difficulty\n0,hard\n",
            "row 2: 'instruction_difficulty' is no number; its columns are index",
        ),
        ("index,preference\n", "holds no rows; get it from the data set tatsu-lab/alpaca_eval"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_difficulty(str(path))
    with pytest.raises(ConfigError, match="there is no such file; get it from"):
        read_gamed(str(tmp_path / "absent.csv"))
