"""Makes a mesh of a picture, or of another mesh, with IM-NET's frozen graphs.

Example: python examples/imnet_reconstruct.py chair.png --graphs=pb_model --output=chair.ply
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import frozen
from examples import graphs
from imnet import options


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('input', help='picture of one object, or closed mesh')
    parser.add_argument('--graphs', default='', metavar='FOLDER',
                        help='folder that freeze_graph.py wrote; ' + graphs.UNSET)
    parser.add_argument('--om', type=cli.path, default='', metavar='PATH',
                        help='folder with the graphs converted by ATC (.om), to be run on an '
                             'Ascend device')
    parser.add_argument('--output', default='shape.ply', help='mesh to write (.ply, .obj, .glb)')
    parser.add_argument('--resolution', type=int, choices=options.RESOLUTIONS, default=128,
                        help='cells of a side')
    options.add_solid_options(parser)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def reconstruct(args):
    """Encodes, extracts the surface of the field and writes it, a mesh where the input was."""
    from common.geometry import meshes  # here, since --help needs no TensorFlow and no SciPy
    from imnet import decoder, extraction, meshing
    from imnet.IMSVR import photos
    from imnet.point_sampling import solids

    solid, part = None, 'image'
    if os.path.splitext(args.input)[1].lower() in meshes.READABLE:
        folder, (stem, ending) = os.path.dirname(args.output), os.path.splitext(
            os.path.basename(args.output))
        meshing.refuse_same(args.input, folder, stem, [ending[1:]])
        solid, part = solids.from_mesh(args.input, args.up, args.allow_open), 'encoder'
        inputs = {'voxels': solids.encoder_grid(solid.grid)[None]}
    else:
        inputs = {'image': photos.read(args.input)[None]}
    names = ['imnet_{}.pb'.format(name) for name in (part, 'decoder')]
    folder = graphs.find('imnet', names, args.graphs, args.om)
    with frozen.load_for(os.path.join(folder, names[0]), args.om) as model:
        latent = model.predict_all(**inputs)['latent'][0]
    with frozen.load_for(os.path.join(folder, names[1]), args.om) as model:
        field = decoder.FrozenField(model, latent)
        vertices, triangles, _ = extraction.mesh(field, args.resolution)
    meshes.write(args.output, solid.to_mesh(vertices) if solid else vertices, triangles)
    print('{}: {} vertices, {} triangles, {} points evaluated'.format(
        args.output, len(vertices), len(triangles), field.evaluated))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(reconstruct, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
