"""Draws a mesh of a class with PolyGen's frozen graphs; another seed gives another mesh.

Example: python examples/polygen_sample.py 2 --graphs=pb_model --output=sample.obj
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import errors, frozen
from examples import graphs


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('class_label', type=cli.non_negative_int, help='number of the class')
    parser.add_argument('--graphs', default='', metavar='FOLDER',
                        help='folder that freeze_graph.py wrote; ' + graphs.UNSET)
    parser.add_argument('--om', type=cli.path, default='', metavar='PATH',
                        help='folder with the graphs converted by ATC (.om), to be run on an '
                             'Ascend device')
    parser.add_argument('--output', default='sample.obj', help='mesh to write')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the draw')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _draw(options, number, path, context):
    """Runs a frozen graph; `number` tells the draws of the two graphs apart."""
    import numpy as np  # here, since --help needs no TensorFlow

    from common.frozen import graph
    from polygen import sampling
    with frozen.load_for(path, options.om) as network:
        classes = ((graph.read_manifest(path) or {}).get('notes') or {}).get('num_classes')
        if classes is not None and options.class_label >= classes:
            raise errors.InputError('there is no class {} in {}, which knows 0 to {}.'.format(
                options.class_label, path, classes - 1))
        inputs = dict(context, class_label=np.array([options.class_label], np.int32))
        inputs['noise'] = sampling.uniform_noise([options.seed, 0, number], 1,
                                                 network.inputs['noise'][0][1])
        return network.predict_all(**{key: inputs[key] for key in network.inputs})


def sample(options):
    """Draws the vertices, then the faces, and writes the mesh."""
    from polygen import data_utils
    names = ['polygen_vertices.pb', 'polygen_faces.pb']
    folder = graphs.find('polygen', names, options.graphs, options.om)
    points = _draw(options, 0, os.path.join(folder, names[0]), {})
    polygons = _draw(options, 1, os.path.join(folder, names[1]), points)
    vertices = points['vertices'][0, :points['num_vertices'][0]]
    faces = data_utils.unflatten_faces(polygons['faces'][0, :polygons['num_face_indices'][0]])
    data_utils.write_obj(vertices, faces, options.output, one_based=False)
    print('{}: {} vertices, {} faces'.format(options.output, len(vertices), len(faces)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(sample, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
