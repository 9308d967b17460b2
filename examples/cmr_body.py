"""Makes the body mesh of a person in a photo with CMR's frozen graph.

Example: python examples/cmr_body.py photo.jpg --bbox=photo_bbox.json --output=body.obj
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from cmr.src import config as config_lib
from common import errors, frozen
from examples import graphs


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('photo', help='of one person')
    parser.add_argument('--graphs', default='', metavar='FOLDER',
                        help='folder that freeze_graph.py wrote; ' + graphs.UNSET)
    parser.add_argument('--om', type=cli.path, default='', metavar='PATH',
                        help='the graph converted by ATC (.om), to be run on an Ascend device')
    parser.add_argument('--bbox', default='', help='JSON of a box; comes before --openpose')
    parser.add_argument('--openpose', default='', help='JSON of OpenPose, first person; unset, and '
                        'no --bbox: the whole photo')
    parser.add_argument('--body', default=config_lib.SHIPPED_BODY,
                        help='body model of the network')
    parser.add_argument('--output', default='body.obj', help='mesh to write')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def reconstruct(options):
    """Predicts the vertices and writes them with the faces of the body model."""
    from cmr import prediction  # here, since --help needs no TensorFlow
    from cmr.src.utils import body as body_lib
    from common.frozen import graph
    from common.geometry import meshes
    faces = body_lib.load(options.body)['f'].astype(int)
    path = os.path.join(graphs.find('cmr', ['cmr.pb'], options.graphs, options.om), 'cmr.pb')
    with frozen.load_for(path, options.om) as network:
        notes = (graph.read_manifest(path) or {}).get('notes') or {}
        (_, _, picture), = prediction.people(
            options.photo, network.inputs['image'][0][1], options.bbox, options.openpose,
            notes.get('stretch', True))     # of several the largest
        outputs = network.predict_all(image=picture[None])
    vertices = outputs['vertices'][0]
    if faces.max() + 1 != len(vertices):
        raise errors.InputError('{} has {} vertices, the network {}; give the --body that it was '
                                'trained with.'.format(options.body, faces.max() + 1,
                                                       len(vertices)))
    meshes.write(options.output, prediction.upright(vertices), faces)
    print('{}: {} vertices; camera scale {:.3f}, shift {:.3f} {:.3f}'.format(
        options.output, len(vertices), *outputs['camera'][0]))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(reconstruct, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
