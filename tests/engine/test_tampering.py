"""A bundle that somebody tampered with is refused, and nothing in it is run."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from coldstart.bundle import _bundle as bundle
from coldstart.bundle import _predictor
from coldstart.bundle._external import external_files
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError
from coldstart.serve import LiveModel

Tamper = Callable[[Path, Path], object]


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def contract_that_calls(folder: Path, mark: Path) -> None:
    called = f"!!python/object/apply:os.mknod ['{mark}']"
    (folder / bundle.CONTRACT).write_text(f"columns: {called}\n")


def pickle_for_a_graph(folder: Path, mark: Path) -> None:
    (folder / bundle.MODEL).write_bytes(pickle.dumps(Payload(mark)))


def operator_of_its_own(folder: Path, mark: Path) -> None:
    model = onnx.load(folder / bundle.MODEL)
    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("PyOp", [output.name], ["x"], domain="evil"))
    model.opset_import.append(helper.make_opsetid("evil", 1))
    onnx.save(model, folder / bundle.MODEL)


def weights_from_elsewhere(folder: Path, mark: Path) -> None:
    """A graph whose weights are another file's content, which its answers would tell."""
    secret = folder.parents[1] / "secret"
    secret.write_bytes(os.urandom(64))
    model = onnx.load(folder / bundle.MODEL)
    weights = numpy_helper.from_array(np.zeros(16, np.float32), "secret")
    external_data_helper.set_external_data(weights, "../../secret")
    weights.data_location = TensorProto.EXTERNAL
    weights.ClearField("raw_data")
    model.graph.initializer.append(weights)
    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("ReduceSum", ["secret"], ["sum"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", [output.name, "sum"], ["told"]))
    model.graph.output[0].name = "told"
    (folder / bundle.MODEL).write_bytes(model.SerializeToString())


TAMPERED: dict[str, Tamper] = {
    "a contract that calls a function": contract_that_calls,
    "a pickle for a graph": pickle_for_a_graph,
    "a graph with an operator of its own": operator_of_its_own,
    "a graph with weights from elsewhere": weights_from_elsewhere,
    "a graph that is empty": lambda folder, _: (folder / bundle.MODEL).write_bytes(b""),
    "a contract of fewer features": lambda folder, _: (folder / bundle.CONTRACT).write_text(
        "columns: {grade: {type: category}, sweet: {type: boolean, role: target}}"
    ),
}


def scalar(folder: Path) -> None:
    """A graph that predicts one number for all rows."""
    model = onnx.load(folder / bundle.MODEL)
    (output,) = model.graph.output
    model.graph.node.append(helper.make_node("ReduceMax", [output.name], ["all"], keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("all", TensorProto.FLOAT, None))
    onnx.save(model, folder / bundle.MODEL)


def with_classes(*classes: str) -> Callable[[Path], object]:
    """Write other classes into the manifest."""

    def change(folder: Path) -> None:
        manifest = bundle.Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
        bundle.write_manifest(folder, manifest.model_copy(update={"classes": [*classes]}))

    return change


def with_reference(content: str) -> Callable[[Path], object]:
    """Write other reference rows."""
    return lambda folder: (folder / bundle.REFERENCE).write_text(content, encoding="latin-1")


def endless(folder: Path) -> None:
    """A graph whose last operator is a loop that does not end."""
    model = onnx.load(folder / bundle.MODEL)
    (output,) = model.graph.output
    value, go_on = helper.make_tensor_value_info, TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["go on"]),
            helper.make_node("Abs", ["before"], ["after"]),
        ],
        "body",
        [
            value("step", TensorProto.INT64, []),
            value("again", go_on, []),
            value("before", TensorProto.FLOAT, None),
        ],
        [value("go on", go_on, []), value("after", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    loop = helper.make_node("Loop", ["", "true", output.name], ["last"], body=body)
    model.graph.node.append(loop)
    del model.graph.output[:]
    model.graph.output.append(value("last", TensorProto.FLOAT, [None, 2]))
    onnx.save(model, folder / bundle.MODEL)


def test_a_graph_with_an_endless_loop_is_refused(
    small_bundle: Path,
    tmp_path: Path,
    sealed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_predictor, "CHECK_SECONDS", 0.5)
    folder = sealed(small_bundle, tmp_path / "copy", "2", endless)
    with pytest.raises(UserError, match=r"copy: model.onnx does not predict a few rows in 0\.5 s"):
        LiveModel(folder)


GRADE = "grade,bruised,__prediction__\n"


@pytest.mark.parametrize(
    "change",
    [
        scalar,
        with_classes(),
        with_classes("a"),
        with_classes("a", "a"),
        with_classes("a", "b", "c"),
        with_reference(""),
        with_reference(GRADE),
        with_reference(GRADE + "A,false,high\n"),
        with_reference(GRADE + "C,false,0.5\n"),
        with_reference(GRADE + "A,false\n"),
        with_reference("grade,bruised\nA,false\n"),
        with_reference(GRADE + "A,false,nan\n"),
        with_reference("\xff"),
        with_reference("a" * 200_000),
    ],
)
def test_a_bundle_that_contradicts_itself_is_refused(
    small_bundle: Path,
    tmp_path: Path,
    sealed: Callable[..., Path],
    change: Callable[[Path], object],
) -> None:
    folder = sealed(small_bundle, tmp_path / "copy", "2", change)
    with pytest.raises(UserError, match="copy"):
        LiveModel(folder)


def predict(project: Path, small_bundle: Path, run_command: Callable[..., Any]) -> Any:
    """Run `predict` with the bundle that lies there."""
    shutil.copy(small_bundle.parents[1] / "config.yaml", project)
    (project / "rows.csv").write_text("grade,bruised\nA,no\n")
    return run_command(project, "predict", "--file", "rows.csv", "--out", "out.csv")


@pytest.mark.parametrize("case", TAMPERED)
def test_a_bundle_that_is_tampered_with_and_sealed_anew_is_refused_in_a_line(
    small_bundle: Path,
    tmp_path: Path,
    sealed: Callable[..., Path],
    run_command: Callable[..., Any],
    case: str,
) -> None:
    mark = tmp_path / "mark"
    project = tmp_path / "project"
    folder = project / "bundles" / "champion"
    sealed(small_bundle, folder, "2", lambda copy: TAMPERED[case](copy, mark))
    done = predict(project, small_bundle, run_command)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: bundles/champion")
    assert "Traceback" not in done.stderr
    assert not mark.exists()
    assert not (project / "out.csv").exists()


def test_programs_that_lie_in_a_bundle_are_not_run(
    small_bundle: Path, tmp_path: Path, sealed: Callable[..., Path], run_command: Callable[..., Any]
) -> None:
    mark = tmp_path / "mark"
    project = tmp_path / "project"
    folder = project / "bundles" / "champion"

    def add(copy: Path) -> None:
        for name in ("__init__", "onnxruntime", "numpy", "sitecustomize", "conftest"):
            (copy / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
        (copy / "model.pkl").write_bytes(pickle.dumps(Payload(mark)))

    sealed(small_bundle, folder, "2", add)
    done = predict(project, small_bundle, run_command)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"version": 5}'])
def test_a_version_that_cannot_be_read_is_refused_in_a_line(
    small_bundle: Path, tmp_path: Path, sealed: Callable[..., Path], content: bytes
) -> None:
    folder = sealed(small_bundle, tmp_path / "copy", "1")
    (folder / bundle.VERSION).write_bytes(content)
    with pytest.raises(UserError, match=r"version\.json is corrupt; run: make pull"):
        BundlePredictor(folder)


def test_a_byte_that_changed_is_noticed_wherever_it_is(
    small_bundle: Path, tmp_path: Path, sealed: Callable[..., Path]
) -> None:
    folder = sealed(small_bundle, tmp_path / "copy", "1")
    dice = random.Random(0)
    for path in sorted(folder.iterdir()):
        if path.name in (bundle.MANIFEST, bundle.VERSION):
            continue
        sound = path.read_bytes()
        for _ in range(20):
            place = dice.randrange(len(sound))
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            with pytest.raises(UserError, match=f"{path.name} was changed"):
                bundle.verify_bundle(folder)
        path.write_bytes(sound)
    BundlePredictor(folder)


def with_weights_beside(folder: Path, location: str, nested: bool = False) -> None:
    """Move a graph's weights out of it, to what a location names; nested, those of a branch."""
    path = folder / bundle.MODEL
    model = onnx.load(path)
    (tensor,) = model.graph.initializer
    numbers = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    if nested:
        branch = helper.make_graph(
            [helper.make_node("MatMul", ["numbers", "slope"], ["inner"])],
            "branch",
            [],
            [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [None, 1])],
            [tensor],
        )
        always = numpy_helper.from_array(np.array(True), "location")
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.initializer.append(always)
        both = {"then_branch": branch, "else_branch": branch}
        model.graph.node.append(helper.make_node("If", ["location"], ["price"], **both))
    path.write_bytes(model.SerializeToString())
    (folder / "weights").write_bytes(numbers)


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "in a branch"])
def test_weights_beside_the_graph_are_read_if_their_checksum_is_listed(
    numeric: Callable[..., Path], sealed: Callable[..., Path], tmp_path: Path, nested: bool
) -> None:
    plain = numeric(tmp_path / "plain", 2.0)
    folder = sealed(
        plain, tmp_path / "new", "2", lambda folder: with_weights_beside(folder, "weights", nested)
    )
    assert BundlePredictor(folder).score([{"weight": 3.0}]) == [{"value": 6.0}]
    weights = folder / "weights"
    weights.write_bytes(np.float32(-2).tobytes())
    with pytest.raises(UserError, match="weights was changed"):
        BundlePredictor(folder)
    manifest = bundle.Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    del manifest.files["weights"]
    bundle.write_manifest(folder, manifest)
    with pytest.raises(UserError, match=r"reads 'weights', which bundle\.json has no checksum of"):
        BundlePredictor(folder)


@pytest.mark.parametrize("location", ["../weights", "./weights", "/etc/hostname", ""])
@pytest.mark.parametrize("listed", [False, True])
def test_weights_outside_of_the_bundle_are_not_read(
    numeric: Callable[..., Path],
    sealed: Callable[..., Path],
    tmp_path: Path,
    location: str,
    listed: bool,
) -> None:
    plain = numeric(tmp_path / "plain", 2.0)
    folder = sealed(
        plain, tmp_path / "new", "2", lambda folder: with_weights_beside(folder, location)
    )
    shutil.copy(folder / "weights", tmp_path)
    if listed:
        manifest = bundle.Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
        manifest.files[location] = bundle.checksum(folder / "weights")
        bundle.write_manifest(folder, manifest)
    with pytest.raises(UserError, match=r"not a name of a file|has no checksum of|is missing"):
        BundlePredictor(folder)


def test_a_graph_that_is_none_is_refused_where_its_weights_are_looked_for(
    numeric: Callable[..., Path], sealed: Callable[..., Path], tmp_path: Path
) -> None:
    """Bytes of a real graph that names other files, cut, doubled and changed."""
    plain = numeric(tmp_path / "plain", 2.0)
    with_weights_beside(plain, "weights", nested=True)
    sound = (plain / bundle.MODEL).read_bytes()
    path = tmp_path / "broken.onnx"
    dice = random.Random(0)
    for _ in range(300):
        broken = bytearray(sound[: dice.randrange(1, len(sound) + 1)])
        broken[dice.randrange(len(broken))] = dice.randrange(256)
        path.write_bytes(broken)
        with contextlib.suppress(ValueError):
            external_files(path)  # no other exception, and an end
    deep = b"location"
    for tag in [*(0x32, 0x2A, 0x0A) * 2000, 0x3A]:  # of a graph of an attribute of a node ...
        deep = bytes([tag]) + length(len(deep)) + deep
    path.write_bytes(deep)
    with pytest.raises(ValueError, match="nested"):
        external_files(path)
    path.write_bytes(b"\x3a\xff\xff\xff\xff\x7f location")
    with pytest.raises(ValueError, match="longer than its message"):
        external_files(path)


def length(number: int) -> bytes:
    """A number as protobuf writes it."""
    rest = number >> 7
    return bytes([number & 0x7F | 0x80]) + length(rest) if rest else bytes([number])
