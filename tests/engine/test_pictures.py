"""Pictures: a folder of photos becomes a model, and training and the API see the same pixels.

The pictures are drawn here: a bright bar that lies or stands, in noise.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bird_strikes.app import create_app
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from coldstart.batch import predict_file
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import ServingSettings
from coldstart.contract import _pictures as pictures
from coldstart.contract._contract import Contract
from coldstart.contract._pictures import PictureError
from coldstart.contract.columns import parse_column
from coldstart.data._dataset import Dataset, prepare
from coldstart.data._picture_copies import find_copies, read_thumbnails
from coldstart.errors import UserError
from coldstart.monitor._bins import make_bins
from coldstart.portfolio._live import obstacle
from coldstart.serve import ModelService
from coldstart.serve._live_model import LiveModel
from engine.support import load_settings, main

SIDE = 64
COLUMNS = {
    "photo": {"type": "image", "size": SIDE},
    "weight": {"type": "number"},
    "kind": {"type": "category", "role": "target", "nullable": False},
}


def draw(kind: str, dice: np.random.Generator, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Draw a bar that lies or stands."""
    width, height = size
    pixels = dice.integers(0, 90, (height, width, 3))
    inner = pixels[12:-12, 12:-12]
    y, x = height // 2 - 12 + dice.integers(-5, 6), width // 2 - 12 + dice.integers(-5, 6)
    if kind == "lying":
        inner[y - 10 : y + 10] += 150
    else:
        inner[:, x - 10 : x + 10] += 150
    return Image.fromarray(pixels.astype(np.uint8))


def saved(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """Return a picture's file."""
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def photos(folder: Path, count: int = 40) -> Path:
    """Write photos into a folder for each class."""
    dice = np.random.default_rng(0)
    for kind in ("lying", "standing"):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            (folder / kind / f"{number}.jpg").write_bytes(saved(draw(kind, dice), "JPEG"))
    return folder


@pytest.fixture
def project(
    tmp_path: Path, write_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The small project, in whose folder the test runs."""
    monkeypatch.chdir(write_project(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


# What is read, and what is refused


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("RGB", "JPEG"),
        ("RGB", "PNG"),
        ("RGB", "WEBP"),
        ("RGB", "TIFF"),
        ("RGB", "BMP"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("L", "PNG"),
        ("1", "PNG"),
        ("P", "GIF"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("I;16", "PNG"),
        ("I;16", "TIFF"),
    ],
)
def test_a_picture_of_any_mode_becomes_the_same_rgb(mode: str, format: str) -> None:
    shade = np.tile(np.linspace(30, 220, 96), (96, 1)).astype(np.uint8)
    grey = Image.fromarray(shade)
    picture = (
        Image.fromarray(shade.astype(np.uint16) * 257)
        if mode == "I;16"
        else grey.convert("RGB").convert(mode)
    )
    found = pictures.pixels(in_base64(saved(picture, format)), 32).astype(int)
    assert found.shape == (32, 32, 3)
    expected = np.asarray(grey.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    limit = 130 if mode == "1" else 12  # dots, or what JPEG and CMYK lose
    assert np.abs(found - expected[:, :, None]).max() <= limit
    assert abs(found.mean() - expected.mean()) < 6


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    assert (pictures.pixels(in_base64(saved(clear)), 32) == 255).all()


def test_a_photo_is_turned_as_its_exif_says() -> None:
    upright = draw("standing", np.random.default_rng(0), (64, 64))
    turned = upright.transpose(Image.Transpose.ROTATE_90)  # as the camera was held
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    found = pictures.pixels(in_base64(saved(turned, exif=exif)), 64)
    np.testing.assert_array_equal(found, np.asarray(upright))


def test_what_a_picture_holds_besides_its_pixels_is_dropped() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    column: Any = parse_column({"type": "image", "size": SIDE})
    content = saved(draw("lying", np.random.default_rng(0)), "JPEG", exif=exif)
    typed = base64.b64decode(column.normalized(content))
    assert b"at home" in content
    assert b"at home" not in typed
    with Image.open(io.BytesIO(typed)) as picture:
        assert (picture.size, picture.mode, dict(picture.getexif())) == ((SIDE, SIDE), "RGB", {})


def large(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it is large, as a bomb does."""
    content = bytearray(saved(Image.new("RGB", (10, 10))))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


FRAMES = [Image.new("RGB", (20, 20), color) for color in ("black", "red")]
REFUSED = {
    "empty": (b"", "the file is empty"),
    "a text": (b"hello", "it is no JPEG, PNG, WEBP, TIFF, BMP or GIF"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is no JPEG"),
    "truncated": (saved(Image.effect_noise((99, 99), 9), "JPEG")[:900], "cannot be decoded"),
    "a bomb": (large(9_000, 9_000), "9,000 x 9,000 pixels, and 64,000,000 are the most"),
    "a larger bomb": (large(60_000, 60_000), "pixels"),
    "tiny": (saved(Image.new("RGB", (100, 4))), "100 x 4 pixels"),
    "animated": (saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "frames"),
    "floats": (saved(Image.fromarray(np.ones((20, 20), np.float32)), "TIFF"), "floating-point"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_usable_picture_is_refused_with_the_reason(what: str) -> None:
    content, reason = REFUSED[what]
    with pytest.raises(PictureError, match=reason) as caught:
        pictures.read_picture(content, SIDE)
    assert "\n" not in str(caught.value)
    column = TypeAdapter(parse_column({"type": "image", "nullable": False}).request_type())
    with pytest.raises(ValidationError, match=reason):
        column.validate_python(in_base64(content))


def test_any_damage_is_refused_or_read_and_breaks_nothing() -> None:
    dice = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        whole = saved(draw("lying", dice).convert("P" if format == "GIF" else "RGB"), format)
        for _ in range(40):
            content = bytearray(whole)
            for place in dice.integers(0, len(whole), 8):
                content[place] = dice.integers(256)
            try:
                found = pictures.read_picture(bytes(content), SIDE)
            except PictureError:
                continue
            assert (found.size, found.mode) == ((SIDE, SIDE), "RGB")


@pytest.mark.parametrize("text", ["no base64!", "data:image/png;base64,???", "Zm9v\n\n"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(PictureError, match="not base64"):
        pictures.to_bytes(text)


def test_a_missing_picture_is_missing_numbers_or_refused() -> None:
    column = parse_column({"type": "image", "missing_values": ["none"]})
    encoded = np.array(column.encode([None, "", "none"]))
    assert encoded.shape == (192, 3)
    assert np.isnan(encoded).all()
    assert len(column.encoded_names("photo")) == 192
    needed = parse_column({"type": "image", "nullable": False})
    with pytest.raises(ValidationError, match="the file is empty"):
        TypeAdapter(needed.request_type()).validate_python("")


# From photos to an answer


def test_a_folder_of_photos_becomes_an_api(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, by three commands and a request."""
    photos(project / "bars")
    Path("pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["coldstart-ml"]\n')
    assert main(["data", "--source", str(project / "bars")]) == 0
    assert "coldstart-ml[images]" in Path("pyproject.toml").read_text()
    contract = Contract.load(Path("schema.yaml"))
    assert (contract.target, contract.columns["picture"].type) == ("label", "image")
    assert not contract.columns["picture"].nullable
    settings = load_settings()
    dataset = prepare(settings)
    assert len(dataset.table) == 80

    capsys.readouterr()
    assert main(["train", "--models", '["linear", "tree"]']) == 0
    bundle = next(Path("bundles").glob("*/bundle.json")).parent
    predictor = BundlePredictor(bundle)
    assert predictor.manifest.metrics["test"]["accuracy"] > 0.9

    row = dataset.table.row(0, named=True)
    file = saved(draw("standing", np.random.default_rng(9)), "JPEG")
    service = ModelService(LiveModel(bundle), ServingSettings())
    with TestClient(create_app(service)) as client:
        answer = client.post("/predict", json={"rows": [{"picture": in_base64(file)}]})
        assert answer.json()["predictions"][0]["label"] == "standing"
        typed = client.post("/predict", json={"rows": [{"picture": row["picture"]}]})
        for wrong in ("hello", in_base64(b"hello"), None, 7):
            refused = client.post("/predict", json={"rows": [{"picture": wrong}]})
            assert refused.status_code == 422
            assert "picture" in refused.json()["detail"][0]["loc"]
        assert (
            client.post("/predict", json={"rows": [{"picture": in_base64(file)}]}).json()
            == answer.json()
        )
    expected = predictor.predict(dataset.features(np.array([0])))[0]
    shares = list(typed.json()["predictions"][0]["probabilities"].values())
    np.testing.assert_array_equal(np.float32(shares), expected)
    assert "a browser would decode" in str(obstacle(predictor))


def test_training_files_and_requests_have_the_same_numbers(project: Path, tmp_path: Path) -> None:
    """Bit for bit: by the path in a table, and by base64 in a request."""
    dice = np.random.default_rng(1)
    kinds = {"JPEG": "a.jpg", "PNG": "b.png", "WEBP": "c.webp"}
    rows = []
    for format, name in kinds.items():
        content = saved(draw("lying", dice, (333, 217)), format)
        Path(name).write_bytes(content)
        rows.append((name, content))
    column: Any = parse_column(COLUMNS["photo"])
    column.set_folder(Path())
    kind = TypeAdapter(column.request_type())
    raw = pl.DataFrame({"photo": [name for name, _ in rows]})
    dtype = raw.schema["photo"]
    trained = raw.select(column.typed(column.known(pl.col("photo"), dtype), dtype))[
        "photo"
    ].to_list()
    asked = [kind.validate_python(in_base64(content)) for _, content in rows]
    assert trained == asked
    np.testing.assert_array_equal(column.encode(trained), column.encode(asked))
    # A caller that is trusted with the encoding alone sends the file as it is.
    raw_files = [in_base64(content) for _, content in rows]
    np.testing.assert_array_equal(column.encode(raw_files), column.encode(asked))


def test_a_table_of_paths_is_trained_beside_numbers_and_predicts_a_file(
    project: Path, write_project: Callable[..., Path]
) -> None:
    photos(project / "bars")
    paths = sorted(path.relative_to(project) for path in (project / "bars").rglob("*.jpg"))
    lines = [f"{path},{number},{path.parent.name}" for number, path in enumerate(paths)]
    table = "\n".join(["photo,weight,kind", *lines]) + "\n"
    write_project(project, columns=COLUMNS, table=table)
    assert main(["train"]) == 0
    bundle = next(Path("bundles").glob("*/bundle.json")).parent
    out = project / "out.csv"
    assert predict_file(bundle, project / "fruit.csv", out) == 80
    found = pl.read_csv(out)
    assert (found["label"] == found["kind"]).mean() > 0.9


def test_pictures_that_cannot_be_read_are_listed_and_nothing_is_trained(
    project: Path, write_project: Callable[..., Path]
) -> None:
    photos(project / "bars", 3)
    (project / "bars/lying/1.jpg").write_bytes(b"")
    paths = [
        *sorted(path.relative_to(project) for path in (project / "bars").rglob("*.jpg")),
        "gone.jpg",
    ]
    table = "\n".join(
        ["photo,kind", *(f"{path},{Path(path).parent.name or 'x'}" for path in paths)]
    )
    columns = {name: COLUMNS[name] for name in ("photo", "kind")}
    write_project(project, columns=columns, table=table)
    with pytest.raises(UserError) as caught:
        prepare(load_settings())
    assert (
        "photo: 2 value(s) not an image, the first is 'bars/lying/1.jpg' (fruit.csv, line 3)"
        in str(caught.value)
    )
    assert "(the file is empty)" in str(caught.value)


def test_drift_of_pictures_is_that_of_their_brightness() -> None:
    column: Any = parse_column({"type": "image", "size": 32})
    dark, bright = (
        [column.normalized(saved(Image.new("L", (40, 40), shade))) for shade in shades]
        for shades in (range(20, 60), range(180, 220))
    )
    bins = make_bins(column, pl.Series(dark))
    before, after = bins.count(pl.Series(dark)), bins.count(pl.Series([*bright, None]))
    assert before[:-1].sum() == 40
    assert after[-2:].tolist() == [40, 1]  # brighter than all before, and missing


def test_the_newest_import_has_the_pictures_that_the_folder_has_now(project: Path) -> None:
    folder = photos(project / "bars", 12)
    assert main(["data", "--source", str(folder)]) == 0
    (folder / "lying/0.jpg").unlink()
    next(Path("data/raw").rglob("lying/1.jpg")).unlink()  # by a person, and not in the source
    assert main(["data", "--source", str(folder)]) == 0
    assert len(prepare(load_settings()).table) == 23


def test_pictures_beside_several_tables_are_no_tables(project: Path) -> None:
    """Such as plots in a folder of exports."""
    rows = "".join(f"{number},{number % 7},{number % 3 > 0}\n" for number in range(60))
    for name in ("2025/a.csv", "2026/b.csv"):
        (project / "exports" / name).parent.mkdir(parents=True)
        (project / "exports" / name).write_text(f"x,y,kind\n{rows}")
    draw("lying", np.random.default_rng(0)).save(project / "exports/plot.png")
    assert main(["data", "--source", str(project / "exports"), "--target", "kind"]) == 0
    assert len(prepare(load_settings()).table) == 120


# What `make data` finds


def checks(project: Path, capsys: pytest.CaptureFixture[str], folder: str = "bars") -> str:
    """Return what `make data` asks to check, as one line."""
    capsys.readouterr()
    assert main(["data", "--source", str(project / folder)]) == 0
    return " ".join(capsys.readouterr().out.partition("Check:")[2].split())


def test_photos_that_differ_in_what_they_show_alone_raise_no_question(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(project / "bars")
    assert checks(project, capsys).startswith("80 rows are few")


def test_copies_and_their_labels_are_found(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos(project / "bars")
    for number in range(5):  # saved again, smaller and of lower quality
        with Image.open(folder / f"lying/{number}.jpg") as picture:
            picture.resize((90, 60)).save(folder / f"lying/again {number}.jpg", quality=60)
    with Image.open(folder / "lying/7.jpg") as picture:
        picture.save(folder / "standing/wrong.png")
    said = checks(project, capsys)
    assert "6 pictures look like another" in said
    assert "1 of them with several labels, such as 'lying/7.jpg' and 'standing/wrong.png'" in said

    dataset = prepare(load_settings())
    assert "6 pictures look like another; the split keeps them together" in capsys.readouterr().out
    pairs = find_copies(read_thumbnails(dataset.table["picture"].to_list(), column_of(dataset)))
    for division in dataset.splits:
        parts = [set(pairs[rows]) for rows in division.parts().values() if len(rows)]
        assert sum(map(len, parts)) == len(set().union(*parts))


def column_of(dataset: Dataset) -> Any:
    return dataset.contract.columns["picture"]


def test_pictures_without_contrast_are_no_copies() -> None:
    flat = np.full((4, SIDE * SIDE // 4), 7, dtype=np.float32)
    assert len(set(find_copies(flat))) == 4


def test_a_picture_that_cannot_be_read_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos(project / "bars")
    (folder / "lying/3.jpg").write_bytes((folder / "lying/3.jpg").read_bytes()[:700])
    said = checks(project, capsys)
    assert "1 of 80 pictures cannot be read, the first is 'lying/3.jpg' (it cannot be de" in said


def make_smaller(picture: Image.Image) -> Image.Image:
    return picture.resize((64, 48))


def add_frame(picture: Image.Image) -> Image.Image:
    framed = picture.copy()
    framed.paste((250, 240, 20), (0, 0, picture.width, 8))
    return framed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (make_smaller, "The width of the files alone tells label: were they made differently?"),
        (add_frame, "The edges of the pictures alone tell label: a frame"),
    ],
)
def test_what_gives_a_class_away_besides_what_is_shown_is_found(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Image.Image], Image.Image],
    told: str,
) -> None:
    """Both classes show the same here: bars of both kinds."""
    dice = np.random.default_rng(0)
    for label in ("sound", "broken"):
        (project / "bars" / label).mkdir(parents=True)
        for number in range(40):
            picture = draw(("lying", "standing")[number % 2], dice)
            if label == "broken":
                picture = change(picture)
            picture.save(project / "bars" / label / f"{number}.jpg")
    assert f"picture (1.000): {told}" in checks(project, capsys)


def test_the_camera_gives_one_of_three_classes_away(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = np.random.default_rng(0)
    for label in ("a", "b", "c"):
        (project / "bars" / label).mkdir(parents=True)
        for number in range(30):
            exif = Image.Exif()
            exif[0x0110] = "Other" if label == "b" else "Camera"
            draw("lying", dice).save(project / "bars" / label / f"{number}.jpg", exif=exif)
    said = checks(project, capsys)
    assert "The camera of the files alone tells 'b': were they made differently?" in said
    assert said.count("alone tell") == 1


# Mistakes


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"cats/a.jpg": "x", "cats/b.jpg": "x"}, "its pictures are of one class"),
        ({"a.jpg": "x", "b.jpg": "x"}, "its pictures are of one class"),
        ({"a.jpg": "x", "cats/b.jpg": "x", "dogs/c.jpg": "x"}, "such as 'a.jpg', have no class"),
        ({"notes.md": "x"}, "no tables there"),
    ],
)  # fmt: skip
def test_a_folder_without_classes_is_refused_and_leaves_nothing(
    project: Path, files: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path("data").rglob("*")) if Path("data").exists() else []
    for name, content in files.items():
        (project / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "mine" / name).write_text(content)
    assert main(["data", "--source", str(project / "mine")]) == 2
    assert reason in capsys.readouterr().err
    left = [path for path in Path("data").rglob("*") if path.is_file()]
    assert left == [path for path in before if path.is_file()]


def test_names_that_a_table_must_quote_are_kept(project: Path) -> None:
    folder = photos(project / "odd", 12)
    (folder / "lying").rename(folder / 'a "class", of\nlines')
    (folder / "standing/0.jpg").rename(folder / "standing/ü,\n0.JPG")
    (folder / "standing/.hidden.jpg").write_text("x")
    assert main(["data", "--source", str(folder)]) == 0
    dataset = prepare(load_settings())
    assert len(dataset.table) == 24
    assert dataset.classes == ['a "class", of\nlines', "standing"]


def test_a_single_file_of_paths_is_refused_if_its_pictures_are_elsewhere(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{number}.jpg,{number % 2}" for number in range(30)]
    (project / "list.csv").write_text("\n".join(["photo,kind", *lines]))
    assert main(["data", "--source", str(project / "list.csv"), "--target", "kind"]) == 2
    assert "there is no picture '0.jpg' beside" in capsys.readouterr().err


def test_a_schema_of_pictures_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"coldstart-ml\[images\]"):
        parse_column({"type": "image"})


@pytest.mark.parametrize("size", [30, 100, 2048, "large"])
def test_a_size_is_a_multiple_of_eight_within_limits(size: Any) -> None:
    with pytest.raises(ValidationError, match="size"):
        parse_column({"type": "image", "size": size})


def test_an_example_is_a_picture(project: Path) -> None:
    contract = Contract.model_validate({"columns": COLUMNS})
    row = json.loads(json.dumps(contract.example()))
    numbers = contract.encode({name: [value] for name, value in row.items()}).numbers[0]
    assert np.allclose(numbers[:192], 128 / 255, atol=0.01)
