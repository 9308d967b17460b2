"""Makes a mesh of pictures of an object with a frozen graph of 3D-R2N2.

Example: python examples/r2n2_reconstruct.py front.png side.png --graph=pb_model/r2n2_3_views.pb
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli
from examples import graphs


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('pictures', nargs='+', help='views, at most as many as the graph takes; '
                        'fewer are shown to it again')
    parser.add_argument('--graph', default='', metavar='FILE',
                        help='file that freeze_graph.py wrote; ' + graphs.UNSET)
    parser.add_argument('--om', type=cli.path, default='', metavar='PATH',
                        help='the graph converted by ATC (.om), to be run on an Ascend device')
    parser.add_argument('--output', default='object.obj', help='mesh to write, of unit size')
    parser.add_argument('--threshold', type=cli.fraction, default=0.4,
                        help='occupancy at the surface')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def reconstruct(options):
    """Predicts the grid and writes its surface."""
    import numpy as np  # this and all others here, since --help needs none of them

    from common import errors, frozen
    from common.geometry import meshes, voxel_grids
    from r2n2 import reconstruction
    from r2n2.lib import data_augmentation
    name = 'r2n2_3_views.pb'
    path = options.graph or os.path.join(graphs.find('r2n2', [name], '', options.om), name)
    with frozen.load_for(path, options.om) as model:
        count, _, size = model.inputs['views'][0][:3]
        if len(options.pictures) > count:
            raise errors.UsageError('{} takes {} pictures, not {}. Freeze one with --views={}.'
                                    .format(path, count, *2 * [len(options.pictures)]))
        views = [reconstruction.prepared(path, size) for path in options.pictures]
        views = np.stack([views[number % len(views)] for number in range(count)])
        grid = model.predict_all(views=data_augmentation.scaled(views[:, None]))['occupancy'][0]
    vertices, triangles = voxel_grids.surface(grid, options.threshold)
    if not len(triangles):
        raise errors.InputError('no cell is above --threshold {:g} (the highest is {:.2f}).'.format(
            options.threshold, grid.max()))
    meshes.write(options.output, vertices / len(grid) - 0.5, triangles)
    print('{}: {} cells occupied'.format(options.output, int((grid > options.threshold).sum())))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(reconstruct, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
