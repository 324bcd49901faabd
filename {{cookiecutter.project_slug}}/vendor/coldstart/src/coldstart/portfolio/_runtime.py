"""onnxruntime for browsers: two files of a package at npm, whose checksum is known."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import requests

VERSION = "1.30.0"
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
FILES = {
    "onnxruntime.mjs": "package/dist/ort.wasm.bundle.min.mjs",
    "onnxruntime.wasm.gzip": "package/dist/ort-wasm-simd-threaded.wasm",
}


class RuntimeMissingError(Exception):
    """The package cannot be had, and why."""


def cache_folder() -> Path:
    """Return where the two files are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "coldstart", f"onnxruntime-web-{VERSION}")


def runtime_files() -> dict[str, bytes]:
    """Return the runtime's files, from the cache or else from npm.

    Returns
    -------
    dict of str to bytes
        From a file's name to its content: a JavaScript module, and WebAssembly that is compressed
        by gzip.

    Raises
    ------
    RuntimeMissingError
        If npm cannot be reached, or sends another file.
    """
    folder = cache_folder()
    if not folder.is_dir():
        unpack(fetch(), folder)
    return {name: (folder / name).read_bytes() for name in FILES}


def fetch() -> bytes:
    """Download the package, 33 MB, and compare its checksum."""
    print(f"downloading onnxruntime-web {VERSION} from npm, once (33 MB)")
    try:
        response = requests.get(ADDRESS, timeout=30)
        response.raise_for_status()
    except requests.RequestException as error:
        raise RuntimeMissingError(f"npm cannot be reached ({type(error).__name__})") from None
    if hashlib.sha512(response.content).hexdigest() != SHA512:
        raise RuntimeMissingError(f"{ADDRESS} is not the file that was expected")
    return response.content


def unpack(package: bytes, folder: Path) -> None:
    """Write the two files of a package into a folder, which appears when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        tarfile.open(fileobj=io.BytesIO(package)) as archive,
        tempfile.TemporaryDirectory(dir=folder.parent) as at,
    ):
        unfinished = Path(at, "files")
        unfinished.mkdir()
        for name, path in FILES.items():
            file = archive.extractfile(path)
            assert file is not None
            content = file.read()
            if name.endswith(".gzip"):  # 14 MB become 3.7
                content = gzip.compress(content, mtime=0)
            (unfinished / name).write_bytes(content)
        unfinished.rename(folder)
