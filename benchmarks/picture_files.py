"""Picture files of every kind that people feed to nets, each with the picture that it is meant to show.

All are written from one small picture, with Pillow or byte by byte: no kind needs another library, or an encoder that
might round.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 32, 48
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([40 + 3 * X, 30 + 5 * Y, 200 - 2 * X + Y], -1).astype(np.uint8)
GREY = (20 + 2 * X + 3 * Y).astype(np.uint8)
ALPHA = (5 * X).astype(np.uint8)
BLACK = 60  # the fourth channel of the CMYK pictures
GREY_CHANNELS, RGB_CHANNELS, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6  # PNG's colour types
ORIENTATION_TAG = 0x112
SIXTEEN = 257  # 255 * 257 = 65535


class PictureFile(NamedTuple):
    """`meant` is the picture, u8 [H,W,3] or, if it is grey, [H,W]; None if no reader should make one of the file."""

    name: str
    kind: str
    data: bytes
    meant: Array | None


def picture_files() -> Iterator[PictureFile]:
    """All of them. Names are unique, and end as the format's do."""
    yield from eight_bits()
    yield from more_bits()
    yield from alpha_and_palettes()
    yield from cmyk_files()
    yield from oriented_files()
    yield from several_frames()
    yield from damaged_files()


def eight_bits() -> Iterator[PictureFile]:
    colour, grey = Image.fromarray(RGB), Image.fromarray(GREY)
    two = np.where(GREY > 100, 255, 0).astype(np.uint8)
    yield PictureFile("rgb.png", "PNG, RGB", encode(colour, "PNG"), RGB)
    yield PictureFile("grey.png", "PNG, grey", encode(grey, "PNG"), GREY)
    yield PictureFile("rgb.jpg", "JPEG, RGB", encode(colour, "JPEG", quality=100, subsampling=0), RGB)
    yield PictureFile("grey.jpg", "JPEG, grey", encode(grey, "JPEG", quality=100), GREY)
    yield PictureFile("rgb.bmp", "BMP, RGB", encode(colour, "BMP"), RGB)
    yield PictureFile("rgb.webp", "WebP, RGB", encode(colour, "WEBP", lossless=True), RGB)
    yield PictureFile("rgb.jp2", "JPEG 2000, RGB", encode(colour, "JPEG2000"), RGB)
    yield PictureFile("rgb.tif", "TIFF, RGB", encode(colour, "TIFF"), RGB)
    yield PictureFile("one.png", "PNG, 1 bit", encode(Image.fromarray(two).convert("1"), "PNG"), two)
    yield PictureFile("one.tif", "TIFF, 1 bit", encode(Image.fromarray(two).convert("1"), "TIFF"), two)


def more_bits() -> Iterator[PictureFile]:
    grey, colour, alpha = (x.astype(np.uint16) * SIXTEEN for x in (GREY, RGB, ALPHA))
    yield PictureFile("grey16.png", "PNG, 16-bit grey", encode_png(grey, GREY_CHANNELS), GREY)
    yield PictureFile("odd16.png", "PNG, 16-bit grey, between two 8-bit numbers", encode_png(grey + 200, 0), GREY)
    yield PictureFile("rgb16.png", "PNG, 16-bit RGB", encode_png(colour, RGB_CHANNELS), RGB)
    yield PictureFile("rgba16.png", "PNG, 16-bit RGBA", encode_png(np.dstack([colour, alpha]), RGB_ALPHA), RGB)
    yield PictureFile("grey16.tif", "TIFF, 16-bit grey", encode_tiff(grey), GREY)
    yield PictureFile("rgb16.tif", "TIFF, 16-bit RGB", encode_tiff(colour), RGB)
    yield PictureFile("grey16.pgm", "PGM, 16-bit grey", encode_pgm(grey, 65535), GREY)
    yield PictureFile("grey1020.pgm", "PGM, grey of 0..1020", encode_pgm(GREY.astype(np.uint16) * 4, 1020), GREY)
    yield PictureFile("u32.tif", "TIFF, uint32 of its whole range", encode_tiff(GREY * np.uint32(0x01010101)), GREY)
    yield PictureFile("i32.tif", "TIFF, int32 of 0..65535", encode_tiff(GREY.astype(np.int32) * SIXTEEN), GREY)
    yield PictureFile("i8.tif", "TIFF, int32 of 0..255", encode_tiff(GREY.astype(np.int32)), GREY)
    yield PictureFile("f1.tif", "TIFF, float32 of 0..1", encode_tiff(GREY / np.float32(255)), GREY)
    yield PictureFile("f255.tif", "TIFF, float32 of 0..255", encode_tiff(GREY.astype(np.float32)), GREY)
    yield PictureFile("fnan.tif", "TIFF, float32 with a NaN", encode_tiff(np.full_like(GREY, np.nan, np.float32)), None)


def alpha_and_palettes() -> Iterator[PictureFile]:
    palette = Image.fromarray(RGB).quantize(64)
    meant, table = np.asarray(palette.convert("RGB")), bytes([0] * 20 + [128] * 44)
    grey, colour = Image.fromarray(np.dstack([GREY, ALPHA]), "LA"), Image.fromarray(np.dstack([RGB, ALPHA]), "RGBA")
    yield PictureFile("la.png", "PNG, grey with alpha", encode(grey, "PNG"), GREY)
    yield PictureFile("rgba.png", "PNG, RGBA", encode(colour, "PNG"), RGB)
    yield PictureFile("rgba.webp", "WebP, RGBA", encode(colour, "WEBP", lossless=True, exact=True), RGB)
    yield PictureFile("rgba.tif", "TIFF, RGBA", encode(colour, "TIFF"), RGB)
    yield PictureFile("palette.png", "PNG, palette", encode(palette, "PNG"), meant)
    yield PictureFile("clear.png", "PNG, palette with alpha", encode(palette, "PNG", transparency=table), meant)
    yield PictureFile("clear1.png", "PNG, palette with a clear colour", encode(palette, "PNG", transparency=3), meant)
    yield PictureFile("clear.gif", "GIF with a clear colour", encode(palette, "GIF", transparency=3), meant)


def cmyk_files() -> Iterator[PictureFile]:
    inks = np.dstack([255 - RGB, np.full_like(GREY, BLACK)])
    meant = np.rint(RGB * ((255 - BLACK) / 255)).astype(np.uint8)
    ycc = np.dstack([np.asarray(Image.fromarray(255 - RGB).convert("YCbCr")), np.full_like(GREY, 255 - BLACK)])
    coded = encode(Image.fromarray(255 - ycc, "CMYK"), "JPEG", quality=100, subsampling=0)
    transform = coded.index(b"Adobe") + 11  # the marker's last byte: 0 for CMYK, 2 for YCCK
    ycck = coded[:transform] + b"\x02" + coded[transform + 1 :]
    cmyk = Image.fromarray(inks, "CMYK")
    yield PictureFile("cmyk.jpg", "JPEG, CMYK as Adobe inverts it", encode(cmyk, "JPEG", quality=100), meant)
    yield PictureFile("ycck.jpg", "JPEG, YCCK", ycck, meant)
    yield PictureFile("cmyk.tif", "TIFF, CMYK", encode(cmyk, "TIFF"), meant)


def oriented_files() -> Iterator[PictureFile]:
    for orientation, meant in enumerate(orientations(RGB), 1):
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        data = encode(Image.fromarray(RGB), "JPEG", quality=100, subsampling=0, exif=exif)
        yield PictureFile(f"exif{orientation}.jpg", f"JPEG, EXIF orientation {orientation}", data, meant)
        if orientation == 6:
            yield PictureFile("exif6.png", "PNG, orientation 6", encode(Image.fromarray(RGB), "PNG", exif=exif), meant)
            webp = encode(Image.fromarray(RGB), "WEBP", lossless=True, exif=exif)
            yield PictureFile("exif6.webp", "WebP, orientation 6", webp, meant)
            tiff = encode(Image.fromarray(RGB), "TIFF", tiffinfo={ORIENTATION_TAG: 6})
            yield PictureFile("exif6.tif", "TIFF, orientation 6", tiff, meant)


def orientations(stored: Array) -> list[Array]:
    """The picture that is meant by each of EXIF's eight orientations (TIFF 6.0, page 36)."""
    mirrored, turned = stored[:, ::-1], stored.transpose(1, 0, 2)
    return [
        stored, mirrored, stored[::-1, ::-1], stored[::-1],
        turned, turned[:, ::-1], turned[::-1, ::-1], turned[::-1],
    ]  # fmt: skip


def several_frames() -> Iterator[PictureFile]:
    first, second = Image.fromarray(RGB), Image.new("RGB", (WIDTH, HEIGHT), (0, 0, 255))
    more: dict[str, Any] = {"save_all": True, "append_images": [second]}
    palette = first.quantize(64)
    meant = np.asarray(palette.convert("RGB"))
    gif = encode(palette, "GIF", save_all=True, append_images=[second.quantize(4)], duration=100)
    yield PictureFile("still.gif", "GIF", encode(palette, "GIF"), meant)
    yield PictureFile("two.gif", "GIF, animated", gif, meant)
    yield PictureFile("two.webp", "WebP, animated", encode(first, "WEBP", lossless=True, duration=100, **more), RGB)
    yield PictureFile("two.png", "PNG, animated", encode(first, "PNG", duration=100, **more), RGB)
    yield PictureFile("two.tif", "TIFF of two pages", encode(first, "TIFF", **more), RGB)


def damaged_files() -> Iterator[PictureFile]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    png, jpeg, gif = (encode(noise, form) for form in ("PNG", "JPEG", "GIF"))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 255
    yield PictureFile("cut.jpg", "JPEG, cut off in the middle", jpeg[: len(jpeg) // 2], None)
    yield PictureFile("cut.png", "PNG, cut off in the middle", png[: len(png) // 2], None)
    yield PictureFile("cut.gif", "GIF, cut off in the middle", gif[: len(gif) // 2], None)
    yield PictureFile("flipped.png", "PNG with a wrong byte", bytes(flipped), None)
    yield PictureFile("none.png", "an empty file", b"", None)
    yield PictureFile("zero.png", "PNG of 0 x 0 pixels", encode_bits(0, 0), None)
    yield PictureFile("huge.png", "PNG of 14,000 x 14,000 pixels, 1 bit", encode_bits(14_000, 14_000), None)


def encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    made = io.BytesIO()
    picture.save(made, form, **options)
    return made.getvalue()


def encode_png(numbers: Array, colours: int) -> bytes:
    """16 bits a channel, which Pillow writes for grey only."""
    height, width = numbers.shape[:2]
    rows = numbers.astype(">u2").reshape(height, -1)
    return png_file(width, height, 16, colours, b"".join(b"\0" + row.tobytes() for row in rows))


def encode_bits(width: int, height: int) -> bytes:
    """A black PNG of 1 bit a pixel."""
    return png_file(width, height, 1, GREY_CHANNELS, bytes(((width + 7) // 8 + 1) * height))


def png_file(width: int, height: int, bits: int, colours: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encode_tiff(numbers: Array) -> bytes:
    """Uncompressed, little-endian, in one strip; grey or RGB of any dtype."""
    height, width, channels = (*numbers.shape, 1)[:3]
    bits, kind = numbers.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[numbers.dtype.kind]
    data = numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
    many = 8 + len(data)  # where what does not fit into a tag stands: a number for each channel
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits if channels == 1 else many),
        (259, 3, 1, 1), (262, 3, 1, 1 if channels == 1 else 2), (273, 4, 1, 8), (277, 3, 1, channels),
        (278, 4, 1, height), (279, 4, 1, len(data)), (339, 3, channels, kind if channels == 1 else many + 6),
    ]  # fmt: skip
    extra = struct.pack("<6H", *[bits] * 3, *[kind] * 3)
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHI", b"II", 42, many + len(extra))
    return head + data + extra + struct.pack("<H", len(tags)) + directory + bytes(4)


def encode_pgm(numbers: Array, most: int) -> bytes:
    height, width = numbers.shape
    return b"P5\n%d %d\n%d\n" % (width, height, most) + numbers.astype(">u2").tobytes()
