"""Still images: files to upright 8-bit RGB, RGB to grey, and grey to JPEG."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidfeat.errors import ItemError

OPENCV = cv2.__version__


@dataclass(frozen=True)
class Image:
    """pixels: [H, W, 3] uint8 RGB, upright; complaint: what is wrong with the file in words, empty if nothing."""

    pixels: np.ndarray
    complaint: str


def read_image(path: str | Path) -> np.ndarray:
    """[H, W, 3] uint8 RGB with the EXIF orientation applied; see ``load_image``."""
    return load_image(path).pixels


def load_image(path: str | Path) -> Image:
    """Decode an image file of any kind that OpenCV reads; of an animation or a multi-page file the first picture.

    Grey becomes three equal channels, CMYK is converted, 16-bit samples keep their upper byte, and an alpha channel is
    dropped (the colour under it stays). Raises ``ItemError`` if nothing can be decoded; a JPEG or PNG that ends too
    early is such an image with OpenCV 5, and with OpenCV 4 comes with its missing part grey or black and a complaint.
    """
    path = Path(path)
    if not path.exists():
        raise ItemError(f"'{path}' does not exist.")
    if path.is_dir():
        raise ItemError(f"'{path}' is a directory, not an image file.")
    if not path.is_file():
        raise ItemError(f"'{path}' is a device or a pipe, not a file; copy its contents into a file.")
    try:
        data = path.read_bytes()  # not cv2.imread: it takes names with non-ASCII letters for missing on some systems
    except OSError as error:
        raise ItemError(f"'{path}' cannot be read: {error.strerror}.") from error
    if not data:
        raise ItemError(f"'{path}' is a file of 0 bytes; nothing was ever written into it, or a copy failed.")
    try:
        # IMREAD_COLOR is what makes OpenCV apply EXIF and reduce depth and channels.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ItemError(f"'{path}' cannot be decoded as an image: {error.err}.") from error
    if pixels is None:
        raise ItemError(f"'{path}' cannot be decoded as an image; it is of another kind, or damaged.")
    return Image(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), "the image data end too early" if _is_cut(data) else "")


def grey_levels(pixels: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> [H, W] uint8: 0.299·R + 0.587·G + 0.114·B, rounded as OpenCV does."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def jpeg(levels: np.ndarray, quality: int = 95) -> bytes:
    """[H, W] uint8 as the bytes of a grey JPEG file; quality 0…100."""
    return cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _is_cut(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker after the last scan, or a PNG its end chunk: OpenCV fills up silently."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data[-64:]
