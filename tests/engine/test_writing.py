"""Files are replaced as a whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart._writing import new_file, write_whole


def test_an_error_leaves_the_file_that_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_whole(path, "seed: 1\n")
    with pytest.raises(ZeroDivisionError), new_file(path) as unfinished:
        unfinished.write_text(f"seed: {1 / 0}")
    assert path.read_text() == "seed: 1\n"
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "seed: \udcff")
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]
    with new_file(path) as unfinished:
        unfinished.write_text("seed: 2\n")
        assert path.read_text() == "seed: 1\n"
    assert path.read_text() == "seed: 2\n"
