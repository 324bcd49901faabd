"""Files about the data before: moved away when the data changes, and restored."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from coldstart.config._sections import DataSettings
from coldstart.config._settings import CONFIG
from coldstart.data.sources._import_log import RAW
from coldstart.errors import UserError

BEFORE = Path("data/before")
DEMO = BEFORE / "demo"
README = Path("README.md")
TESTS, ORIGIN = Path("tests/test_demo_data.py"), RAW / "README.md"
PAGE = Path("docs/demo.png")
MODELS = (Path("bundles"), Path("served"))  # what is served, and the log of its predictions
BLOCK = re.compile(r"(<!-- report: (\w+) -->[ \t]*\r?\n)(.*?)(?=<!-- end report -->)", re.DOTALL)


def back_up(paths: Iterable[Path]) -> list[Path]:
    """Copy files to `data/before`, with the time in their names."""
    BEFORE.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in paths:
        if path.is_file():
            copies.append(BEFORE / f"{path.stem}.{now()}{path.suffix}")
            shutil.copy2(path, copies[-1])
    return copies


def is_demo(data: DataSettings) -> bool:
    """Return whether config.yaml names the data that the project was generated with."""
    in_raw = isinstance(data.table, Path) and data.table.parent == RAW
    return in_raw and (TESTS.exists() or ORIGIN.exists())


def move_demo(data: DataSettings, contract: Path, source: str | None, with_data: bool) -> list[str]:
    """Move what is about the demo's data to `data/before/demo`.

    Parameters
    ----------
    data : DataSettings
        The demo's table, and those joined to it.
    contract : Path
        Its schema, which is copied, like config.yaml.
    source : str or None
        The source of the new data, which stays where it is.
    with_data : bool
        Whether the demo's data is moved, too.

    Returns
    -------
    list of str
        What was moved.
    """
    DEMO.mkdir(parents=True, exist_ok=True)
    moved = [str(path) for path in (TESTS, PAGE, *MODELS) if path.exists()]
    for path in (CONFIG, contract):
        if path.is_file():
            shutil.copy2(path, DEMO / path.name)
    if clear_readme():
        moved.append(f"the results in {README}")
    paths = [TESTS, PAGE, *MODELS]
    if with_data:
        tables = [Path(data.table), *(join.file for join in data.joins), ORIGIN]
        tables = [path for path in tables if path.is_file() and path.parent == RAW]
        tables = [path for path in tables if source is None or not same_file(path, source)]
        moved += [f"{RAW} ({len(tables)} files)"] if tables else []
        paths += tables  # the last one tells that this is the demo: after a crash it is done again
    for path in paths:
        if path.exists():
            move(path, DEMO / path)
    return moved


def move_models() -> None:
    """Move the models of other data to `data/before`, so that they are not served for this one."""
    for path in MODELS:
        if path.exists():
            move(path, BEFORE / f"{path.name}.{now()}")


def restore_demo(contract: Path) -> list[str]:
    """Restore the demo's data, schema, settings, tests and models.

    Parameters
    ----------
    contract : Path
        The schema that the demo's takes the place of. It is copied to `data/before`, like
        config.yaml.

    Returns
    -------
    list of str
        What was restored.

    Raises
    ------
    UserError
        If the demo was not moved away here.
    """
    if not (DEMO / CONFIG).is_file():
        deleted = f"$(git log --diff-filter=D --format=%H -1 -- {TESTS})"
        raise UserError(
            f"{DEMO} is not on this computer; git has the demo's files:\n"
            f"git checkout {deleted}^ -- {TESTS} {RAW} {CONFIG} {contract}"
        )
    back_up([contract, CONFIG])
    move_models()
    restored = []
    if (DEMO / README).is_file():
        fill_readme((DEMO / README).read_bytes().decode())
        (DEMO / README).unlink()
        restored.append(f"the results in {README}")
    for path in MODELS:
        if (DEMO / path).exists():
            move(DEMO / path, path)
            restored.append(str(path))
    for path in sorted(DEMO.rglob("*")):
        if path.is_file():
            move(path, path.relative_to(DEMO))
            restored.append(str(path.relative_to(DEMO)))
    shutil.rmtree(DEMO)
    return restored


def clear_readme() -> bool:
    """Empty the blocks of README.md that `make report` writes, and keep a copy of them."""
    if not README.is_file():
        return False
    text = README.read_bytes().decode()
    cleared = BLOCK.sub(r"\1", text)
    if cleared == text:
        return False
    (DEMO / README).write_bytes(text.encode())
    README.write_bytes(cleared.encode())
    return True


def fill_readme(saved: str) -> None:
    """Write the blocks of a saved README.md into the one that is there."""
    if README.is_file():
        blocks = {name: content for _, name, content in BLOCK.findall(saved)}
        text = README.read_bytes().decode()
        filled = BLOCK.sub(lambda found: found[1] + blocks.get(found[2], ""), text)
        README.write_bytes(filled.encode())


def same_file(path: Path, source: str) -> bool:
    """Return whether a source is this file."""
    return Path(source).exists() and path.samefile(source)


def move(path: Path, to: Path) -> None:
    """Move a file or a folder, in the place of what is there."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.is_dir():
        shutil.rmtree(to)
    shutil.move(path, to)


def now() -> str:
    """Return the time, for the name of a file."""
    return dt.datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
