"""Backgrounds out of archives and sample pictures."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from cch.base.errors import CchError
from cch.data.datasets.photographs import Photographs, grey, read_archive, read_samples
from support import mirror

SAMPLES = Path(sklearn.datasets.__file__).parent / "images"


def jpeg(seed: int, shape: tuple[int, int] = (40, 60)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def members(root: str = "BSR/") -> dict[str, bytes]:
    """Files in the official layout: images, ground truth, and what a desktop left behind."""
    data = f"{root}BSDS500/data"
    parts = {"train": range(0, 4), "val": range(4, 6), "test": range(6, 9)}
    files = {f"{root}BSDS500/README": b"text"}
    for part, numbers in parts.items():
        for number in numbers:
            files[f"{data}/images/{part}/{number}00.jpg"] = jpeg(number)
            files[f"{data}/groundTruth/{part}/{number}00.mat"] = b"MATLAB" * 99
        files[f"{data}/images/{part}/Thumbs.db"] = b"no image"
        files[f"{data}/images/{part}/._{part}.jpg"] = b"resource fork"
    files[f"{root}bench/data/images/test/1.jpg"] = b"of the benchmark code"
    return files


def pack(path: Path, files: dict[str, bytes], mode: str = "w", **options) -> Path:
    with tarfile.open(path, mode, **options) as tar:
        folder = tarfile.TarInfo("BSR/BSDS500/data/images/train/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def same(one: Photographs, other: Photographs) -> bool:
    return all(
        list(mine) == list(theirs)
        and all(np.array_equal(mine[name], theirs[name]) for name in mine)
        for mine, theirs in ((one.train, other.train), (one.test, other.test))
    )


def refused(path: Path) -> str:
    with pytest.raises(CchError) as caught:
        read_archive(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestArchive:
    def test_parts_and_order(self, tmp_path):
        photographs = read_archive(pack(tmp_path / "a.tar", members()))
        assert list(photographs.train) == [
            *(f"train/{number}00.jpg" for number in range(4)),
            *(f"val/{number}00.jpg" for number in range(4, 6)),
        ]
        assert list(photographs.test) == [f"test/{number}00.jpg" for number in range(6, 9)]
        assert {image.shape for image in photographs.train.values()} == {(40, 60)}
        assert {image.dtype for image in photographs.test.values()} == {np.dtype(np.uint8)}

    def test_pixels_are_the_luma_of_the_member(self, tmp_path):
        photographs = read_archive(pack(tmp_path / "a.tar", members()))
        colour = np.asarray(Image.open(io.BytesIO(jpeg(6))), dtype=float)
        luma = colour @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(photographs.test["test/600.jpg"], luma, atol=0.51)

    def test_compressed_and_plain_give_the_same(self, tmp_path):
        plain = read_archive(pack(tmp_path / "a.tar", members()))
        assert same(plain, read_archive(pack(tmp_path / "a.tgz", members(), "w:gz")))

    @pytest.mark.parametrize("root", ["", "./", "some/where/else/"])
    def test_wherever_it_is_rooted(self, tmp_path, root):
        plain = read_archive(pack(tmp_path / "a.tar", members()))
        assert same(plain, read_archive(pack(tmp_path / "b.tar", members(root))))

    def test_whatever_the_order_of_the_members(self, tmp_path):
        shuffled = dict(reversed(members().items()))
        plain = read_archive(pack(tmp_path / "a.tar", members()))
        assert same(plain, read_archive(pack(tmp_path / "b.tar", shuffled)))

    def test_a_global_header_as_git_archive_writes_one(self, tmp_path):
        options = {"format": tarfile.PAX_FORMAT, "pax_headers": {"comment": "a04b7c6"}}
        plain = read_archive(pack(tmp_path / "a.tar", members()))
        assert same(plain, read_archive(pack(tmp_path / "b.tar", members(), **options)))

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    def test_no_images_of_a_part(self, tmp_path, part):
        files = {k: v for k, v in members().items() if f"images/{part}/" not in k}
        message = refused(pack(tmp_path / "a.tar", files))
        assert f"holds no BSDS500/data/images/{part}/*.jpg" in message

    def test_an_archive_of_something_else(self, tmp_path):
        assert "holds no BSDS500" in refused(pack(tmp_path / "a.tar", {"a.txt": b"text"}))

    def test_a_missing_archive(self, tmp_path):
        assert "there is no such file" in refused(tmp_path / "absent.tgz")

    @pytest.mark.parametrize("data", [b"", b"<html>404</html>" * 100], ids=["empty", "page"])
    def test_no_archive_at_all(self, tmp_path, data):
        path = tmp_path / "a.tgz"
        path.write_bytes(data)
        assert "truncated or corrupt archive" in refused(path)

    @pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
    def test_a_truncated_compressed_archive(self, tmp_path, share):
        path = pack(tmp_path / "a.tgz", members(), "w:gz")
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        assert "truncated or corrupt archive" in refused(path)

    def test_a_compressed_archive_without_its_checksum(self, tmp_path):
        path = pack(tmp_path / "a.tgz", members(), "w:gz")
        path.write_bytes(path.read_bytes()[:-8])
        assert "truncated or corrupt archive" in refused(path)

    def test_a_compressed_archive_with_a_wrong_checksum(self, tmp_path):
        path = pack(tmp_path / "a.tgz", members(), "w:gz")
        data = bytearray(path.read_bytes())
        data[-8] ^= 1
        path.write_bytes(data)
        assert "truncated or corrupt archive" in refused(path)

    def test_a_plain_archive_cut_inside_a_member(self, tmp_path):
        path = pack(tmp_path / "a.tar", members())
        with tarfile.open(path) as tar:
            last = tar.getmember("BSR/BSDS500/data/images/test/800.jpg")
        path.write_bytes(path.read_bytes()[: last.offset_data + 700])
        assert "truncated or corrupt archive" in refused(path)

    def test_a_plain_archive_cut_between_two_members(self, tmp_path):
        path = pack(tmp_path / "a.tar", members())
        with tarfile.open(path) as tar:
            end = tar.getmember("BSR/bench/data/images/test/1.jpg").offset
        path.write_bytes(path.read_bytes()[:end])
        assert "no end-of-archive block" in refused(path)

    def test_a_damaged_header_in_the_middle(self, tmp_path):
        path = pack(tmp_path / "a.tar", members())
        with tarfile.open(path) as tar:
            start = tar.getmember("BSR/BSDS500/data/groundTruth/test/700.mat").offset
        data = bytearray(path.read_bytes())
        data[start + 148 : start + 156] = b"99999999"  # the header's checksum
        path.write_bytes(data)
        assert "truncated or corrupt archive" in refused(path)

    @pytest.mark.parametrize(
        "data", [b"no picture", jpeg(1)[:900], jpeg(1)[:20] + bytes(2000)], ids=["text", "cut", "0"]
    )
    def test_a_corrupt_image_is_named(self, tmp_path, data):
        name = "BSR/BSDS500/data/images/val/400.jpg"
        message = refused(pack(tmp_path / "a.tar", members() | {name: data}))
        assert f"a.tar:{name}: is no intact JPEG" in message

    def test_an_image_of_both_sides_is_refused(self, tmp_path):
        files = members() | {"BSR/BSDS500/data/images/test/600.jpg": jpeg(4)}
        with pytest.raises(CchError, match=r"'test/600.jpg' is also .*'val/400.jpg'"):
            read_archive(pack(tmp_path / "a.tar", files))

    def test_real_bsds500(self):
        photographs = read_archive(mirror("bsds500", "bsds500-images.tar"))
        assert (len(photographs.train), len(photographs.test)) == (300, 200)
        sizes = {image.shape for image in (photographs.train | photographs.test).values()}
        assert sizes == {(321, 481), (481, 321)}


class TestSamples:
    def test_sides_are_disjoint_columns_of_the_whole_picture(self):
        photographs = read_samples(SAMPLES / "china.jpg", SAMPLES / "flower.jpg")
        pictures = zip(photographs.train.values(), photographs.test.values(), strict=True)
        for (left, right), name in zip(pictures, ["china.jpg", "flower.jpg"], strict=True):
            whole = grey((SAMPLES / name).read_bytes(), name)
            np.testing.assert_array_equal(np.concatenate([left, right], axis=1), whole)
            assert left.shape[1] == 426
            assert right.shape[1] == 214

    def test_a_corrupt_picture_is_named(self, tmp_path):
        path = tmp_path / "china.jpg"
        path.write_bytes((SAMPLES / "china.jpg").read_bytes()[:10_000])
        with pytest.raises(CchError, match=r"china\.jpg: is no intact JPEG"):
            read_samples(path)

    def test_a_missing_picture_is_named(self, tmp_path):
        with pytest.raises(CchError, match=r"absent\.jpg: there is no such file"):
            read_samples(tmp_path / "absent.jpg")


def test_a_picture_that_is_grey_already_stays_as_it_is():
    pixels = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100)
    decoded = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    np.testing.assert_array_equal(grey(buffer.getvalue(), "a"), decoded)


def test_another_format_is_no_jpeg():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, "PNG")
    with pytest.raises(CchError, match="is no intact JPEG"):
        grey(buffer.getvalue(), "a.png")


def test_an_empty_side_is_refused():
    with pytest.raises(CchError, match="holds no test photographs"):
        Photographs({"a": np.zeros((30, 30), np.uint8)}, {}, "none")


def test_gzip_of_an_archive_reads_like_the_archive(tmp_path):
    plain = pack(tmp_path / "a.tar", members())
    (tmp_path / "b").write_bytes(gzip.compress(plain.read_bytes()))
    assert same(read_archive(plain), read_archive(tmp_path / "b"))
