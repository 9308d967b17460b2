"""Draws a mesh of a class with PolyGen's frozen graphs; another seed gives another mesh.

Example: python examples/polygen_sample.py 2 --graphs=pb_model --output=sample.obj
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from common import cli, errors, frozen
from polygen import data_utils, sampling


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('class_label', type=cli.non_negative_int, help='number of the class')
    parser.add_argument('--graphs', default='pb_model', help='folder that freeze_graph.py wrote')
    parser.add_argument('--output', default='sample.obj', help='mesh to write')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the draw')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _draw(config, number, name, context):
    path = os.path.join(config.graphs, name)
    with frozen.load(path) as model:
        classes = ((frozen.read_manifest(path) or {}).get('notes') or {}).get('num_classes')
        if classes is not None and config.class_label >= classes:
            raise errors.InputError('there is no class {} in {}, which knows 0 to {}.'.format(
                config.class_label, path, classes - 1))
        inputs = dict(context, class_label=np.array([config.class_label], np.int32))
        inputs['noise'] = sampling.uniform_noise([config.seed, 0, number], 1,
                                                 model.inputs['noise'][0][1])
        return model.predict_all(**{end: inputs[end] for end in model.inputs})


def sample(config):
    """Draws the vertices, then the faces, and writes the mesh."""
    points = _draw(config, 0, 'polygen_vertices.pb', {})
    found = _draw(config, 1, 'polygen_faces.pb', points)
    vertices = points['vertices'][0, :points['num_vertices'][0]]
    faces = data_utils.unflatten_faces(found['faces'][0, :found['num_face_indices'][0]])
    data_utils.write_obj(vertices, faces, config.output, one_based=False)
    print('{}: {} vertices, {} faces'.format(config.output, len(vertices), len(faces)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(sample, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
