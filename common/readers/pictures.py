"""Pictures from outside, one reader for all models: the size is looked at before all is unpacked.

Upright as the camera says, 16 bits brought to their upper 8, of several frames the first, colours
that are hidden by transparency composed over white.
"""
import io
import logging
import warnings
from typing import Iterator, Optional, Tuple

import numpy as np

from common import errors
from common.readers import limits

MAX_PIXELS = 50 * 1000 * 1000   # as large as cameras of today give; some 600 MB while it is read
MAX_BYTES = 256 << 20           # of a file
REMEDY = 'Give a whole PNG or JPEG file.'
EXTENSIONS = ('.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm',
              '.heic', '.heif', '.avif')
_FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'WEBP', 'TIFF', 'PPM')
# Kinds of HEIF (of phones' .heic) and AVIF, which pillow-heif reads: an extra.
_HEIF = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1', b'avif', b'avis')
_WHAT = 'a picture'
_ORIENTATION = 0x0112           # of EXIF
# numpy's turns that undo an orientation: (transposed, rows reversed, columns reversed).
_TURNS = {2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
          5: (True, False, False), 6: (True, False, True), 7: (True, True, True),
          8: (True, True, False)}
_BLOCK = 1 << 20                # pixels that are composed or converted at once
_MOST_PASSES = 30               # of a progressive JPEG of so many pixels; each takes its time


def read(path: str, channels: Optional[int] = 3, max_pixels: int = MAX_PIXELS,
         remedy: str = REMEDY) -> np.ndarray:
    """Reads a picture.

    Args:
      path: str.
      channels: 3: RGB, what is transparent composed over white; 4: RGBA; None: RGBA if the picture
        has transparency, else RGB.
      max_pixels: int, the largest picture that is taken.
      remedy: str, a sentence for messages.
    Returns:
      uint8 [H, W, channels], upright.
    Raises:
      errors.InputError: it is missing, cut short, damaged, too large, or no picture.
    """
    data = limits.content(path, _WHAT, remedy, MAX_BYTES)
    with limits.telling(path, _WHAT, remedy):
        return _array(path, data, channels, max_pixels, remedy)


def decoded(data: bytes, name: str, channels: Optional[int] = 3) -> np.ndarray:
    """Reads a picture from the bytes of its file; the rest as `read`."""
    with limits.telling(name, _WHAT, REMEDY):
        return _array(name, data, channels, MAX_PIXELS, REMEDY)


def _array(path: str, data: bytes, channels: Optional[int], max_pixels: int,
           remedy: str) -> np.ndarray:
    # Pillow is imported here, since scripts without pictures need none of it.
    from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401 (they register formats)
    formats: Tuple[str, ...] = _FORMATS
    if data[4:8] == b'ftyp' and data[8:12] in _HEIF:
        formats = _heif_formats(path)
    logging.getLogger('PIL').setLevel(logging.CRITICAL)     # the error of ours says it
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')     # of pictures between Pillow's own two limits
        try:
            Image.preinit()
            image = Image.open(io.BytesIO(data), formats=formats)
        except Image.UnidentifiedImageError:
            raise ValueError('it is of no known kind')
        except Image.DecompressionBombError:
            raise errors.InputError('{} has more than the {} pixels that are taken. Make it '
                                    'smaller.'.format(path, max_pixels))
        except SyntaxError as error:        # Pillow's, of damaged headers
            raise ValueError(errors.reason(error))
        with image:
            width, height = image.size
            if width * height > max_pixels or not width * height:
                raise errors.InputError(
                    '{} has {} x {} pixels, more than the {} that are taken. Make it smaller.'
                    .format(path, width, height, max_pixels))
            if data.count(b'\xff\xda') * width * height > _MOST_PASSES * MAX_PIXELS:
                raise ValueError('it has too many passes')
            if data[:4] == b'\x89PNG' and b'IEND' not in data:
                raise ValueError('it is cut short')
            try:
                has_alpha = 'A' in image.getbands() or 'transparency' in image.info
                wanted = 'RGBA' if has_alpha or channels == 4 else 'RGB'
                array = _eight_bits(image, wanted)
            except SyntaxError as error:
                raise ValueError(errors.reason(error))
            array = _upright(array, image)
    if channels == 3 and array.shape[2] == 4:
        array = over(array, 255)
    return np.ascontiguousarray(array)


def _heif_formats(path: str) -> Tuple[str, ...]:
    """Lets Pillow read HEIF and AVIF; returns its names for them."""
    from PIL import Image
    try:
        import pillow_heif  # an extra
    except ImportError:
        raise errors.InputError('{} is a HEIC or AVIF picture, which pillow-heif reads (pip '
                                'install pillow-heif); or save it as JPEG or PNG.'.format(path))
    pillow_heif.register_heif_opener()
    getattr(pillow_heif, 'register_avif_opener', Image.init)()  # newer Pillow reads AVIF by itself
    return tuple({'HEIF', 'AVIF'} & set(Image.OPEN))


def _eight_bits(image, wanted: str) -> np.ndarray:
    """uint8 [H, W, 3 or 4] of an opened picture, its first frame."""
    image.load()        # raises what NumPy would swallow
    if image.mode[0] not in 'IF':
        return np.array(image if image.mode == wanted else image.convert(wanted))
    levels = np.array(image)        # grey of 16 bits (or more); Pillow would cut off beyond 255
    if levels.dtype.kind == 'f':
        levels = np.nan_to_num(levels)
        levels = levels * 255 if levels.size and levels.max() <= 1 else levels
    if levels.max() > 65535:
        raise ValueError('its grey has more than 16 bits; save it with 8 or 16')
    shift = 8 if levels.max() > 255 else 0
    grey = np.empty(levels.shape, np.uint8)
    for part, values in zip(_blocks(grey.reshape(-1)), _blocks(levels.reshape(-1))):
        part[:] = np.clip(np.clip(values, 0, 2 ** 31).astype(np.int64) >> shift, 0, 255)
    result = np.repeat(grey[..., None], len(wanted), axis=2)
    result[..., 3:] = 255
    return result


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yields parts [n, ...] of an array of any shape, so that little is converted at once."""
    for start in range(0, len(rows), _BLOCK):
        yield rows[start:start + _BLOCK]


def _upright(array: np.ndarray, image) -> np.ndarray:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        is_transposed, rows, columns = _TURNS.get(orientation, (False, False, False))
    except Exception:       # of damaged EXIF Pillow raises almost any kind; the picture is whole
        return array
    array = array.transpose(1, 0, 2) if is_transposed else array
    return array[::-1 if rows else 1, ::-1 if columns else 1]


def over(rgba: np.ndarray, background: int) -> np.ndarray:
    """Returns a picture composed over grey.

    Args:
      rgba: uint8 [H, W, 4]; background: int, the level, 255 for white.
    Returns:
      uint8 [H, W, 3].
    """
    rgb = np.ascontiguousarray(rgba[..., :3])
    flat = np.ascontiguousarray(rgba).reshape(-1, 4)
    for target, part in zip(_blocks(rgb.reshape(-1, 3)), _blocks(flat)):
        if (part[:, 3] < 255).any():
            alpha = part[:, 3:].astype(np.uint32)
            target[:] = (part[:, :3] * alpha + background * (255 - alpha) + 127) // 255
    return rgb
