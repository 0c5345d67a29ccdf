"""Users' own pictures: read upright and plain, or refused with the file's name and a reason."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dualsafe.errors import PairsError
from dualsafe.pairs.pictures import fitted, load_picture, resolve_inside

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))


def saved(folder, image, name="picture.png", **options):
    image.save(folder / name, **options)
    return folder / name


def png_of_size(path, width, height):
    """A PNG whose header says a size, and which has no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


def test_a_plain_picture_comes_back_to_the_bit(tmp_path):
    picture = load_picture(saved(tmp_path, NOISE))
    assert picture.mode == "RGB" and picture.tobytes() == NOISE.tobytes()


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_modes_become_rgb(tmp_path, mode):
    path = saved(tmp_path, NOISE.convert(mode), "picture.tif")
    assert load_picture(path).tobytes() == NOISE.convert(mode).convert("RGB").tobytes()


def test_sixteen_bits_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65_535, 32 * 32).reshape(32, 32).astype(np.uint16)
    found = np.asarray(load_picture(saved(tmp_path, Image.fromarray(ramp))))
    assert np.array_equal(found[..., 0], (ramp / 257).round()) and found.max() == 255


def test_what_is_transparent_becomes_white(tmp_path):
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    palette = Image.new("P", (16, 16))
    for image, options in ((clear, {}), (clear.convert("LA"), {}), (palette, {"transparency": 0})):
        assert load_picture(saved(tmp_path, image, **options)).getpixel((9, 9)) == (255, 255, 255)
    assert load_picture(saved(tmp_path, clear)).getpixel((0, 0)) == (255, 0, 0)


def test_a_rotated_photo_is_put_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = load_picture(saved(tmp_path, NOISE, exif=exif))
    assert upright.tobytes() == NOISE.transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize(("size", "reason"), [((1, 1), "1x1 pixels, too small"), ((400, 15), "too small")])
def test_a_picture_too_small_to_show_anything_is_refused(tmp_path, size, reason):
    with pytest.raises(PairsError, match=f"picture.png has .*{reason}"):
        load_picture(saved(tmp_path, Image.new("RGB", size)))


@pytest.mark.parametrize("size", [(20_000, 100), (9_000, 9_000), (2**31 - 1, 2**31 - 1), (30_000, 30_000)])
def test_a_huge_picture_is_refused_by_its_header(tmp_path, size):
    with pytest.raises(PairsError, match=r"bomb\.png (has .*: at most 64000000 in all and|cannot be read)"):
        load_picture(png_of_size(tmp_path / "bomb.png", *size))


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png", "pages.tif"])
def test_what_has_several_frames_is_refused(tmp_path, name):
    path = saved(tmp_path, NOISE, name, save_all=True, append_images=[NOISE.rotate(90)])
    with pytest.raises(PairsError, match=f"{name} is animated or has several pages"):
        load_picture(path)


def test_stills_of_moving_formats_are_read(tmp_path):
    assert load_picture(saved(tmp_path, NOISE, "still.gif")).size == (32, 24)
    phone = saved(tmp_path, NOISE, "phone.mpo", save_all=True, append_images=[NOISE.resize((16, 16))])
    assert load_picture(phone.rename(tmp_path / "phone.jpg")).size == (32, 24)


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.webp", "cut.tif", "cut.bmp"])
def test_a_truncated_picture_is_refused(tmp_path, name):
    path = saved(tmp_path, NOISE.resize((200, 200)), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PairsError, match=f"{name} cannot be read as a picture"):
        load_picture(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", b"GIF89a"]
)
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "picture.png").write_bytes(content)
    with pytest.raises(PairsError, match=r"picture\.png cannot be read as a picture"):
        load_picture(tmp_path / "picture.png")


@pytest.mark.filterwarnings("ignore")
def test_any_damage_is_a_refusal_or_a_picture(tmp_path):
    path, rng = tmp_path / "damaged", np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        file = io.BytesIO()
        NOISE.save(file, kind)
        for _ in range(60):
            content = bytearray(file.getvalue())
            for place in rng.integers(0, min(len(content), 300), 4):
                content[place] = rng.integers(256)
            path.write_bytes(content)
            try:
                assert load_picture(path).mode == "RGB"
            except PairsError as error:
                assert str(path) in str(error)


def test_floats_and_wide_integers_have_no_known_white(tmp_path):
    for image in (Image.new("F", (16, 16), 0.5), Image.new("I", (16, 16), 70_000)):
        with pytest.raises(PairsError, match="nobody says which is white"):
            load_picture(saved(tmp_path, image, "measured.tif"))


def test_only_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing.png", "."):
        with pytest.raises(PairsError, match="is not a file"):
            load_picture(tmp_path / name)


def test_a_name_stays_inside_its_folder(tmp_path):
    home, outside = tmp_path / "home", saved(tmp_path, NOISE, "outside.png")
    (home / "deep").mkdir(parents=True)
    inside = saved(home / "deep", NOISE)
    (home / "link").symlink_to(inside)
    (home / "out").symlink_to(outside)
    (home / "up").symlink_to(tmp_path)
    for name in ("deep/picture.png", "deep/../deep/picture.png", "link", "./deep/picture.png"):
        assert resolve_inside(home, name) == inside
    wrong = [
        "../outside.png",
        "../home-two/picture.png",
        "deep/../../outside.png",
        "out",
        "up/outside.png",
        ".",
        "",
        "deep/..",
        "a\0b",
    ]
    wrong += ["../home-two/picture.png"]  # which only begins alike
    for name in [*wrong, str(inside), "/etc/passwd", "C:\\picture.png", "\\\\host\\picture.png"]:
        with pytest.raises(PairsError, match=r"leads out of|is no name of a file"):
            resolve_inside(home, name)


@pytest.mark.parametrize(
    ("size", "wanted"), [((64, 64), (64, 64)), ((640, 480), (72, 56)), ((16_000, 16), (2024, 8)), ((20, 20), (64, 64))]
)
def test_a_picture_is_fitted_to_about_the_models_area(size, wanted):
    assert fitted(Image.new("RGB", size), 64, 8).size == wanted
