"""Grey photographs as backgrounds of digits, separate for training and testing."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN, read_bytes

_MEMBER = re.compile(r"(?:^|/)BSDS500/data/images/(train|val|test)/([^/.][^/]*\.jpg)$")
_BROKEN_ARCHIVE = (tarfile.TarError, OSError, EOFError, zlib.error)
_BROKEN_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Photographs:
    """Grey backgrounds, (H, W) uint8 of any size, by name; no image is in both parts.

    Raises:
        CchError: a part is empty, or an image is in both parts.
    """

    train: Mapping[str, np.ndarray]
    test: Mapping[str, np.ndarray]
    origin: str

    def __post_init__(self) -> None:
        if not self.train or not self.test:
            side = "training" if not self.train else "test"
            raise CchError(self.origin, f"holds no {side} photographs")
        seen = {_fingerprint(image): name for name, image in self.train.items()}
        for name, image in self.test.items():
            if (twin := seen.get(_fingerprint(image))) is not None:
                raise CchError(
                    self.origin,
                    f"test photograph {name!r} is also training photograph {twin!r}",
                    "test backgrounds must be new; take another archive",
                )


def _fingerprint(image: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return image.shape, hashlib.sha256(image.tobytes()).digest()


def grey(data: bytes, where: str) -> np.ndarray:
    """Decode a JPEG and return its luma, (H, W) uint8.

    Appendix C asks for a luminance-preserving conversion and names none. This is Pillow's mode
    ``L``: the ITU-R BT.601 luma 0.299 R + 0.587 G + 0.114 B of the gamma-encoded channels.

    Raises:
        CchError: the bytes are no complete JPEG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return np.asarray(image.convert("L"))
    except UnidentifiedImageError:
        raise CchError(where, "is no intact JPEG (not recognised as one)", AGAIN) from None
    except _BROKEN_IMAGE as error:
        raise CchError(where, f"is no intact JPEG ({error})", AGAIN) from None


def read_archive(archive: str | os.PathLike[str]) -> Photographs:
    """Read BSDS500 (Martin et al., 2001; Arbelaez et al., 2011) out of a tar file.

    The official ``BSR_bsds500.tgz`` and any tar of the same layout, plain or gzip-compressed, are
    read without unpacking: every ``BSDS500/data/images/(train|val|test)/*.jpg``, at any depth.
    Other members (ground truth, Thumbs.db) are skipped. Training backgrounds
    are the train and val images, test backgrounds the test images, both in the order of their
    names.

    Raises:
        CchError: the archive is missing, truncated, corrupt or without images of a part, or an
            image in it cannot be decoded (the member is named).
    """
    try:
        with tarfile.open(archive, "r:*") as tar:
            found = _read_members(tar, archive)
    except FileNotFoundError:
        raise CchError(archive, "there is no such file", "fetch it first") from None
    except _BROKEN_ARCHIVE as error:
        reason = str(error).partition("\n")[0]  # tarfile lists all that it tried below
        raise CchError(archive, f"is a truncated or corrupt archive ({reason})", AGAIN) from None
    for part in ("train", "val", "test"):
        if not any(name.startswith(f"{part}/") for name in found):
            raise CchError(
                archive, f"holds no BSDS500/data/images/{part}/*.jpg", "take the BSDS500 images"
            )
    test = {name: found[name] for name in sorted(found) if name.startswith("test/")}
    train = {name: found[name] for name in sorted(found) if name not in test}
    return Photographs(train, test, "BSDS500")


def _read_members(tar: tarfile.TarFile, archive: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for member in tar:
        match = _MEMBER.search(member.name)
        if match and member.isfile():
            stream = tar.extractfile(member)
            if stream is not None:
                found["/".join(match.groups())] = grey(stream.read(), f"{archive}:{member.name}")
    _check_end(tar)
    return found


def _check_end(tar: tarfile.TarFile) -> None:
    """Raise ReadError unless a block of zeros stands where tarfile stopped.

    tarfile treats an archive that was cut between two members, or whose next header is damaged, as
    complete. Reading to the last byte also checks a gzip stream's trailer.
    """
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end-of-archive block after the last whole member")
    while tar.fileobj.read(1 << 20):
        pass


def read_samples(*pictures: str | os.PathLike[str]) -> Photographs:
    """Read photographs such as scikit-learn's ``china.jpg`` and ``flower.jpg``.

    Too few to split as whole images: the left two thirds of the columns of each are a training
    background, the right third a test background.

    Raises:
        CchError: a file is missing or no intact JPEG.
    """
    train, test = {}, {}
    for path in pictures:
        image, name = grey(read_bytes(path), str(path)), Path(path).name
        cut = image.shape[1] * 2 // 3
        train[f"{name}, left two thirds"] = image[:, :cut]
        test[f"{name}, right third"] = image[:, cut:]
    return Photographs(train, test, " and ".join(Path(path).name for path in pictures))
