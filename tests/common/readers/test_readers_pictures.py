"""Pictures from outside: one reader for all models."""
import glob
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from common import errors
from common.readers import pictures

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'field_cases')


def _random(mode, size=(7, 5)):
    bands = {'L': 1, 'LA': 2, 'RGB': 3, 'RGBA': 4}[mode]
    values = np.random.RandomState(0).randint(0, 256, size + (bands,)).astype(np.uint8)
    return Image.fromarray(values[..., 0] if bands == 1 else values, mode)


def _refused(path, match=None, **options):
    with pytest.raises(errors.InputError, match=match) as caught:
        pictures.read(str(path), **options)
    assert len(str(caught.value)) <= 290 and os.path.basename(str(path)) in str(caught.value)


def test_jpeg_files_are_what_opencv_reads(tmp_path):
    path = str(tmp_path / 'a.jpg')
    smooth = Image.fromarray(cv2.GaussianBlur(np.asarray(_random('RGB', (61, 83))), (0, 0), 3))
    for options in ({}, {'quality': 60, 'subsampling': 2}, {'progressive': True}):
        smooth.save(path, **options)
        np.testing.assert_array_equal(pictures.read(path), cv2.imread(path)[..., ::-1])
    smooth.convert('L').save(path)
    np.testing.assert_array_equal(pictures.read(path), cv2.imread(path)[..., ::-1])


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('mode', ['RGBA', 'RGB'])
def test_pictures_are_upright_with_and_without_transparency(tmp_path, orientation, mode):
    path, exif = str(tmp_path / 'a.png'), Image.Exif()
    exif[0x0112] = orientation
    _random(mode).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(pictures.read(path, channels=None), expected)


def test_pictures_of_the_field():
    actual = pictures.read(os.path.join(CASES, 'alpha_exif6.png'), channels=4)
    rows, columns = np.nonzero(actual[..., 3] > 127)
    assert actual.shape == (300, 200, 4)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (100, 179, 60, 99)
    hidden = pictures.read(os.path.join(CASES, 'rgba_hidden.png'))
    assert hidden[0, 0].tolist() == [255, 255, 255]
    assert pictures.read(os.path.join(CASES, 'png_trailing.png')).shape == (120, 200, 3)
    path = os.path.join(CASES, 'imnet', 'grey16.png')
    levels = np.array(Image.open(path)).astype(np.int64)
    grey = pictures.read(path)
    np.testing.assert_array_equal(grey[..., 0], levels >> 8)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


def _png16(path, bands, kind):
    """A PNG of 16 bits, which Pillow cannot write with these bands."""
    levels = np.random.RandomState(1).randint(0, 65536, [3, 4, bands]).astype('>u2')
    rows = b''.join(b'\0' + row.tobytes() for row in levels)

    def chunk(name, data):
        return (struct.pack('>I', len(data)) + name + data
                + struct.pack('>I', zlib.crc32(name + data)))

    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack(
        '>IIBBBBB', 4, 3, 16, kind, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows))
        + chunk(b'IEND', b''))
    return (levels >> 8).astype(np.uint8)


@pytest.mark.parametrize('bands, kind', [(3, 2), (4, 6), (1, 0), (2, 4)])
def test_16_bits_become_their_upper_8(tmp_path, bands, kind):
    path = tmp_path / 'a.png'
    upper = _png16(path, bands, kind)
    expected = upper if bands > 2 else np.concatenate(
        [np.repeat(upper[..., :1], 3, axis=2), upper[..., 1:]], axis=2)
    np.testing.assert_array_equal(pictures.read(str(path), channels=None), expected)


def test_grey_of_more_than_16_bits_is_refused_and_does_not_turn_white(tmp_path):
    path = str(tmp_path / 'a.tif')
    Image.fromarray(np.array([[1 << 20, 1 << 24]], np.int32)).save(path)
    with pytest.raises(errors.InputError, match='more than 16 bits'):
        pictures.read(path)


def test_transparency_is_composed_over_white(tmp_path):
    path = str(tmp_path / 'a.png')
    values = np.array([[[255, 0, 255, 0], [10, 20, 30, 255], [100, 200, 0, 128]]], np.uint8)
    Image.fromarray(values).save(path)
    white = np.round(values[..., :3] * (values[..., 3:] / 255.) + 255 - values[..., 3:])
    np.testing.assert_array_equal(pictures.read(path), white)
    np.testing.assert_array_equal(pictures.read(path, 4), values)
    np.testing.assert_array_equal(pictures.read(path, None), values)
    palette = Image.fromarray(values).convert('P')
    palette.save(path, transparency=palette.getpixel((0, 0)))
    assert pictures.read(path, None).shape == (1, 3, 4) and pictures.read(path)[0, 0, 0] == 255


@pytest.mark.parametrize('ending', ['bmp', 'gif', 'webp', 'tiff', 'ppm', 'png', 'jpg'])
def test_kinds_of_files_by_content(tmp_path, ending):
    named, path = str(tmp_path / ('a.' + ending)), str(tmp_path / 'picture.dat')
    _random('RGB').save(named)
    os.rename(named, path)
    assert pictures.read(path).shape == (7, 5, 3) and pictures.read(path, 4)[..., 3].min() == 255
    if ending == 'gif':     # of several the first
        frames = [Image.new('L', (5, 7), level) for level in (9, 200)]
        frames[0].save(named, save_all=True, append_images=frames[1:])
        assert pictures.read(named).max() == 9


def test_large_pictures_are_refused_before_they_are_unpacked(tmp_path):
    path = tmp_path / 'a.png'
    Image.new('1', (20000, 20000)).save(str(path))
    _refused(path, 'more than the 50000000 pixels')
    Image.new('1', (10000, 10000)).save(str(path))
    _refused(path, '10000 x 10000 pixels, more than the 50000000')
    Image.new('L', (30, 20)).save(str(path))
    _refused(path, '30 x 20 pixels, more than the 599', max_pixels=599)
    assert pictures.read(str(path), max_pixels=600).shape == (20, 30, 3)


def test_damaged_pictures_are_refused(tmp_path):
    for path in glob.glob(os.path.join(CASES, 'damaged', 'img_*')):
        _refused(path)
    good = {}
    for ending in ('png', 'jpg', 'gif', 'bmp', 'webp', 'tiff'):
        path = tmp_path / ('a.' + ending)
        _random('RGB', (40, 50)).save(str(path))
        good[ending] = path.read_bytes()
        path.write_bytes(good[ending][:len(good[ending]) // 2])
        _refused(path, 'Give a whole PNG or JPEG file')
    (tmp_path / 'a.jpg').write_bytes(good['jpg'][:-2])
    _refused(tmp_path / 'a.jpg', 'truncated')
    (tmp_path / 'a.png').write_bytes(good['png'][:-12])
    _refused(tmp_path / 'a.png', 'cut short')
    for data, match in ((b'', 'is empty'), (b'<html>', 'web page'), (b'hello', 'no known kind'),
                        (b'\0\0\0\x18ftypheic' + bytes(50), 'picture')):
        (tmp_path / 'a.png').write_bytes(data)
        _refused(tmp_path / 'a.png', match)
    _refused(tmp_path / 'none.png', 'there is no such file')


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='it tells the peak of memory')
@pytest.mark.parametrize('shape, dtype', [((7000, 7000), np.uint16), ((1, 20000000, 4), np.uint8)],
                         ids=['grey16', 'one row'])
def test_large_pictures_are_converted_piece_by_piece(tmp_path, shape, dtype):
    """Of a whole picture in wider numbers there is no room: within 1 GiB, as what they become."""
    path, program = str(tmp_path / 'large.png'), (
        'import sys; from common.readers import pictures\n'
        'array = pictures.read(sys.argv[1]); print(array.shape, array.sum(dtype="int64"))\n'
        'print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])')
    values = np.full(shape, 40 if dtype == np.uint8 else 40 << 8, dtype)
    Image.fromarray(values).save(path, compress_level=1)
    done = subprocess.run([sys.executable, '-c', program, path], stdout=subprocess.PIPE,
                          cwd=os.path.join(CASES, '..', '..'), universal_newlines=True)
    said, peak = done.stdout.splitlines()
    level = 40 if dtype == np.uint16 else round(40 * 40 / 255 + 255 * 215 / 255)
    count = shape[0] * shape[1]
    assert said == '{} {}'.format(shape[:2] + (3,), 3 * count * level)
    assert int(peak) < 1 << 20
