"""Pictures: from a file's bytes to upright RGB pixels of one size.

Training and the API come here alike, so a model gets the same pixels from both. Pillow is
imported only where there is a picture: most models need none.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
MOST_PIXELS = 64_000_000  # of a picture; more are refused before they are decoded
LEAST_SIDE = 8  # pixels
DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)


def is_picture(name: str) -> bool:
    """Return whether a file is a picture, by its name."""
    return name.lower().endswith(SUFFIXES)


class PictureError(ValueError):
    """A picture that cannot be used, with the reason."""


def read_picture(content: bytes, side: int) -> Image.Image:
    """Decode a picture, and resize it.

    Parameters
    ----------
    content : bytes
        A file.
    side : int
        Width and height of the result in pixels. The whole picture is kept, so its proportions
        change unless it is a square.

    Returns
    -------
    Image
        RGB, turned as its EXIF says. Transparent parts are white.

    Raises
    ------
    PictureError
        If it is no picture of `FORMATS`, or is damaged, animated, too small or too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise PictureError("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise PictureError(
                    f"it has {width:,} x {height:,} pixels, and {MOST_PIXELS:,} are the most"
                )
            if min(width, height) < LEAST_SIDE:
                raise PictureError(
                    f"it has {width} x {height} pixels, and {LEAST_SIDE} a side are the least"
                )
            if getattr(picture, "n_frames", 1) > 1:
                raise PictureError("it has several frames")
            picture.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(picture)
            return to_rgb(upright).resize((side, side), Image.Resampling.BILINEAR)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except Image.DecompressionBombError:
        raise PictureError(f"it has more than {MOST_PIXELS:,} pixels") from None
    # What Pillow's decoders raise for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, struct.error) as error:
        raise PictureError(f"it cannot be decoded: {str(error).splitlines()[0]}") from None


def to_rgb(picture: Image.Image) -> Image.Image:
    """Convert a picture of any mode to eight bits of red, green and blue."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey
        values = np.asarray(picture).astype(np.int64) // 257
        return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise PictureError("its pixels are floating-point numbers")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return picture.convert("RGB")


def to_text(picture: Image.Image) -> str:
    """Return a picture as a PNG in base64, which loses nothing."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def to_bytes(text: str) -> bytes:
    """Return the file that a text in base64 holds, with or without `data:image/...;base64,`.

    Raises
    ------
    PictureError
        If it is not base64.
    """
    start = DATA_URI.match(text)
    try:
        return base64.b64decode(text[start.end() if start else 0 :], validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("it is not base64") from None


def pixels(text: str, side: int) -> np.ndarray:
    """Return the pixels of a picture in base64.

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)
        Rows of pixels from the top, each with red, green and blue.
    """
    return np.asarray(read_picture(to_bytes(text), side))
