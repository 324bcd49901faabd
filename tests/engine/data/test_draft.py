"""`make data`, from a dirty file to a contract that trains."""

from __future__ import annotations

import io
import random
from pathlib import Path

import polars as pl
import pytest
import yaml

from coldstart.contract._contract import Contract
from coldstart.data.profiling._draft import scalar
from engine.support import main

NAMES = ["yes", "on: off", "naïve #1", "🎉 emoji.name", "select", "'quoted'", "a  b", "null", "1"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(
        "# mine\ndata:\n  table: data/raw/old.csv\n  joins:\n    - {file: other.csv, key: k}\n\n"
        "split: # by time\n  train_until: 1995-01-01\n\nleak_threshold: 0.6\nmetric: r2\n"
        "decision: {min_recall: 0.9}\nseed: 3 # a good one\n"
    )
    Path("schema.yaml").write_text("columns: {old: {type: number, role: target}}\n")
    return tmp_path


def dirty(path: Path, rows: int = 120) -> None:
    rng = random.Random(0)
    lines = ["id,income,joined,member,reason,churn"]
    for i in range(rows):
        churn = rng.random() < 0.4
        income = (
            rng.choice(["NA", "", "-999"])
            if rng.random() < 0.1
            else f'"${rng.randint(900, 9000):,}"'
        )
        joined = f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{rng.randint(2010, 2020)}"
        reason = rng.choice(["price", "moved"]) if churn else ""
        member = rng.choice(["YES", "n", "y"])
        lines.append(f"{i + 1},{income},{joined},{member},{reason},{'Y' if churn else 'N'}")
    path.write_text("\n".join(lines) + "\n")


def test_a_dirty_file_becomes_a_contract_that_its_rows_fulfil(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dirty(project / "in.csv")
    assert main(["data", "--source", "in.csv", "--target", "churn"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("reason (") < shown.index("Not used as features")  # leaks come first
    contract = Contract.load(Path("schema.yaml"))
    assert list(contract.features) == ["income", "joined", "member"]
    assert "# '$" in Path("schema.yaml").read_text()  # the reason stands beside the decision
    config = yaml.safe_load(Path("config.yaml").read_text())
    table = config["data"].pop("table")
    assert Path(table).is_file()
    assert config == {"data": {}, "experiment": "in-churn", "seed": 3}
    assert "# a good one" in Path("config.yaml").read_text()
    assert len(list(Path("data/before").glob("*.yaml"))) == 2
    report = Path("data/report.html").read_text()
    assert report.index("Leaks") < report.index("Columns")
    assert 'src="http' not in report
    assert main(["prepare"]) == 0


def test_what_the_user_wrote_stays_unless_all_is_drafted_anew(project: Path) -> None:
    dirty(project / "in.csv")
    command = ["data", "--source", "in.csv", "--target", "churn"]
    assert main(command) == 0
    mine = (
        Path("schema.yaml").read_text().replace("  income:\n", "  income: # in dollars a month\n")
    )
    Path("schema.yaml").write_text(
        mine.replace("role: ignore\n    reason: >-\n      A leak", "reason: >-\n      A leak")
    )
    text = Path("in.csv").read_text().splitlines()
    Path("in.csv").write_text(
        "\n".join([text[0] + ",extra", *(f"{t},{i % 7}" for i, t in enumerate(text[1:]))])
    )
    assert main(command) == 0
    kept = Path("schema.yaml").read_text()
    assert "# in dollars a month" in kept
    contract = Contract.load(Path("schema.yaml"))
    assert contract.columns["reason"].role == "feature"  # overridden
    assert contract.columns["extra"].type == "number"
    assert main([*command, "--fresh"]) == 0
    assert "# in dollars a month" not in Path("schema.yaml").read_text()
    assert Contract.load(Path("schema.yaml")).columns["reason"].role == "ignore"


def test_a_missing_or_wrong_target_is_one_clear_message(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dirty(project / "in.csv")
    before = Path("schema.yaml").read_text(), Path("config.yaml").read_text()
    assert main(["data", "--source", "in.csv"]) == 2
    assert "one of id, income, joined" in capsys.readouterr().err
    assert main(["data", "--source", "in.csv", "--target", "churned"]) == 2
    assert "did you mean churn?" in capsys.readouterr().err
    assert (Path("schema.yaml").read_text(), Path("config.yaml").read_text()) == before


@pytest.mark.parametrize(
    "text",
    [
        *NAMES,
        "no",
        "Off",
        "~",
        "",
        " x",
        "2024-01-01",
        "1e3",
        "0x1f",
        "a\nb",
        "- x",
        "\t",
        "=",
        "y",
    ],
)
def test_any_text_survives_yaml(text: str) -> None:
    assert yaml.safe_load(f"{scalar(text)}: {scalar([text])}") == {text: [text]}


def test_odd_names_survive_the_whole_way(project: Path) -> None:
    import csv

    rng = random.Random(1)
    with Path("odd.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES, "count"])
        for _ in range(60):
            writer.writerow([*(f"{rng.random():.3f}" for _ in NAMES), rng.randint(0, 100)])
    assert main(["data", "--source", "odd.csv", "--target", "count"]) == 0
    assert list(Contract.load(Path("schema.yaml")).features) == NAMES
    assert main(["prepare"]) == 0


@pytest.mark.parametrize(("rows", "columns"), [(30, 2), (64, 400)])
def test_small_and_wide_tables_are_studied(project: Path, rows: int, columns: int) -> None:
    rng = random.Random(2)
    lines = [",".join([*(f"g{i}" for i in range(columns - 1)), "ill"])]
    for row in range(rows):
        lines.append(
            ",".join([*(f"{rng.gauss(0, 1):.3f}" for _ in range(columns - 1)), "ny"[row % 2]])
        )
    Path("in.csv").write_text("\n".join(lines))
    assert main(["data", "--source", "in.csv", "--target", "ill"]) == 0
    assert len(Contract.load(Path("schema.yaml")).features) == columns - 1
    assert "few rows" not in Path("schema.yaml").read_text()
    assert f"{rows} rows are few" in Path("data/report.html").read_text()


def test_a_parquet_file_with_a_broken_page_is_one_line_and_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = io.BytesIO()
    table = pl.DataFrame({"a": range(1000), "b": ["x", "y"] * 500})
    table.write_parquet(content, compression="zstd")
    page, broken = b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\x00"
    Path("in.parquet").write_bytes(content.getvalue().replace(page, broken))
    before = [Path(name).read_bytes() for name in ("config.yaml", "schema.yaml")]
    assert main(["data", "--source", "in.parquet", "--target", "b"]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "in.parquet cannot be read: " in told
    assert [Path(name).read_bytes() for name in ("config.yaml", "schema.yaml")] == before


def test_a_terminal_gets_no_control_characters_from_names_values_and_files(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ["a,\x1b[2Jb,y"]
    for i in range(300):
        lines.append(f"{i},\x1b]0;x{i % 5},{'no' if i % 3 else chr(27) + '[31myes'}")
    Path("in\x1b[31m.csv").write_text("\n".join(lines))
    assert main(["data", "--source", "in\x1b[31m.csv", "--target", "y"]) == 0
    assert main(["data", "--source", "no\x1b[31m.csv", "--target", "y"]) == 2
    shown = "".join(capfd.readouterr())
    assert "in\\x1b[31m.csv" in shown
    assert "no\\x1b[31m.csv" in shown
    assert all(letter.isprintable() or letter == "\n" for letter in shown)


def test_a_target_of_few_whole_numbers_is_what_the_schema_says(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    lines = [f"{rng.gauss(0, 1):.3f},{1 + (rng.random() < 0.4)}" for _ in range(300)]
    Path("in.csv").write_text("\n".join(["size,status", *lines, "0.5,0", "0.7,0"]) + "\n")
    assert main(["data", "--source", "in.csv", "--target", "-1"]) == 0
    shown = capsys.readouterr().out
    assert "TARGET=-1 is the position of status" in shown
    assert "one of 3 classes" in shown
    assert "type: number predicts a number" in shown
    proposal = "missing_values: ['0']"
    assert proposal in shown

    contract = Path("schema.yaml")
    draft = contract.read_text()
    contract.write_text(draft.replace("role: target", f"role: target\n    {proposal}"))
    assert main(["data"]) == 0
    shown = capsys.readouterr().out
    assert "2 rows have no value and are left out of training" in shown
    assert proposal not in shown
    assert proposal in contract.read_text()

    lines = draft.splitlines()
    kept = [line for line in lines if "categories" not in line and "labels" not in line]
    kept = [line for line in kept if not line.strip().startswith(("'0'", "'1'", "'2'"))]
    contract.write_text(
        "\n".join(kept).replace(
            "type: category\n    role: target", "type: number\n    role: target"
        )
    )
    assert main(["data"]) == 0
    assert "target status: a number" in capsys.readouterr().out
