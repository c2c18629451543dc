"""The journal of a study after a crash or a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.problem import PlanError
from sandbox.sweeper.study import JOURNAL, open_storage


@pytest.mark.parametrize(
    "torn", [b"", b'{"op_code":8,"wor', b"x" * 10_000], ids=["whole", "torn", "long"]
)
def test_a_line_that_a_full_disk_cut_off_costs_nothing_else(tmp_path: Path, torn: bytes) -> None:
    import optuna

    study = optuna.create_study(study_name="toy", storage=open_storage(None, tmp_path))
    study.tell(study.ask(), 1.0)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(torn)
    again = optuna.load_study(study_name="toy", storage=open_storage(None, tmp_path))
    again.tell(again.ask(), 2.0)
    last = optuna.load_study(study_name="toy", storage=open_storage(None, tmp_path))
    assert [trial.value for trial in last.trials] == [1.0, 2.0]


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(PlanError, match=r"cannot open .*notes\.txt.*it is no journal"):
        open_storage(str(path), tmp_path)
    assert path.read_text() == "my notes"
