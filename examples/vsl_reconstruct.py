"""Encodes a shape with VSL's frozen graphs and decodes it again: .obj, and a .png of both.

Example: python examples/vsl_reconstruct.py chair.obj --graphs=pb_model --output=decoded.obj
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
    parser.add_argument('shape', help='mesh, .binvox, or occupancies [30, 30, 30] (.npy, z up)')
    parser.add_argument('--graphs', default='', metavar='FOLDER',
                        help='folder that freeze_graph.py wrote; ' + graphs.UNSET)
    parser.add_argument('--om', type=cli.path, default='', metavar='PATH',
                        help='folder with the graphs converted by ATC (.om), to be run on an '
                             'Ascend device')
    parser.add_argument('--output', default='decoded.obj', help='mesh to write, in cells')
    parser.add_argument('--up', choices=('y', 'z'), default='z', help='vertical axis of the file')
    parser.add_argument('--threshold', type=cli.fraction, default=0.5,
                        help='occupancy at the surface')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _grid(options):
    """Occupancies of the shape, bool [30, 30, 30]."""
    from common.readers import arrays  # here, as all others, since --help needs none of them
    from vsl import data_utils, make_dataset
    if os.path.splitext(options.shape)[1].lower() != '.npy':
        return make_dataset.voxelize(options.shape, options.up)
    grid = arrays.read(options.shape)
    if grid.shape != 3 * (data_utils.GRID,):
        raise errors.InputError('{} has the shape {}, not [30, 30, 30].'.format(
            options.shape, list(grid.shape)))
    return grid > 0.5


def reconstruct(options):
    """Encodes and decodes the shape, and writes the surface of the decoded grid."""
    from common.geometry import meshes, plots, voxel_grids
    from vsl import data_utils, draw
    grid = _grid(options)
    names = ['vsl_encoder.pb', 'vsl_decoder.pb']
    folder = graphs.find('vsl', names, options.graphs, options.om)
    with frozen.load_for(os.path.join(folder, names[0]), options.om) as encoder:
        latent = encoder.predict_all(voxels=data_utils.grids(grid))['latent']
    with frozen.load_for(os.path.join(folder, names[1]), options.om) as decoder:
        occupancy = decoder.predict_all(latent=latent)['occupancy'].reshape(grid.shape)
    vertices, triangles = voxel_grids.surface(occupancy, options.threshold)
    if not len(triangles):
        raise errors.InputError('no cell is above --threshold {:g} (the highest is {:.2f}).'.format(
            options.threshold, occupancy.max()))
    meshes.write(options.output, vertices, triangles)
    picture, occupied = os.path.splitext(options.output)[0] + '.png', occupancy > options.threshold
    plots.mesh_grid(picture, [draw.drawable(grid), draw.drawable(occupied)],
                    ['input', 'decoded'], edges=False)
    print('{}: {} cells, {} in the given shape; {}'.format(
        options.output, int(occupied.sum()), int(grid.sum()), picture))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(reconstruct, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
