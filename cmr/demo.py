"""Turns a photo of a person into body meshes: .obj, .glb, .stl, pictures, pose and shape (.npz).

The box of the person is given by --bbox ({"bbox": [left, top, width, height]}) or by --openpose
(keypoints of OpenPose), else the whole picture is taken. Of several people --person picks. Of a
folder of photos, boxes and keypoints lie beside: `name_bbox.json`, `name_openpose.json`.

Example: python cmr/demo.py --img=photo.jpg --bbox=photo_bbox.json
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from cmr import options


def _person(text):
    if text not in ('', 'all') and not text.isdecimal():     # '': the default
        raise argparse.ArgumentTypeError('a number from 0, or all')
    return text


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--img', required=True, help='photo of one person, or a folder of photos')
    parser.add_argument('--outfile', default='', help='start of the names of what is written; '
                        'unset: the photo\'s without extension; of a folder '
                        'of photos: the folder to write to')
    parser.add_argument('--bbox', default='', help='JSON of a box; comes before --openpose')
    parser.add_argument('--openpose', default='', help='JSON of keypoints: OpenPose, AlphaPose, '
                        'COCO')
    parser.add_argument('--person', type=_person, default='', metavar='N|all',
                        help='which person of that file, from 0; all: each, to names of its own; '
                             'unset: the largest that is confident')
    cli.add_remove_background(parser)
    cli.add_max_pixels(parser)
    options.add_trained_options(parser)
    cli.add_device_options(parser.add_argument_group('run'))
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr import prediction  # here, since --help needs no TensorFlow
    from common.training import launch
    return launch.main(prediction.predict, parsed, is_training=False, has_page=False)


if __name__ == '__main__':
    cli.script(main)
