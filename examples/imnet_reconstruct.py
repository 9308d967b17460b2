"""Makes a mesh of a picture, or of another mesh, with IM-NET's frozen graphs.

Example: python examples/imnet_reconstruct.py chair.png --graphs=pb_model --output=chair.ply
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli, frozen
from common.geometry import meshes
from imnet import decoder, extraction, meshing
from imnet.IMSVR import photos
from imnet.point_sampling import solids


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('input', help='picture of one object, or closed mesh')
    parser.add_argument('--graphs', default='pb_model', help='folder that freeze_graph.py wrote')
    parser.add_argument('--output', default='shape.ply', help='mesh to write (.ply, .obj, .glb)')
    parser.add_argument('--resolution', type=int, choices=extraction.RESOLUTIONS, default=128,
                        help='cells of a side')
    solids.add_options(parser)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _encoded(config, part, **inputs):
    with frozen.load(os.path.join(config.graphs, 'imnet_{}.pb'.format(part))) as model:
        return model.predict_all(**inputs)['latent'][0]


def reconstruct(config):
    """Encodes, extracts the surface of the field, writes it; a mesh comes out where it was."""
    solid = None
    if os.path.splitext(config.input)[1].lower() in meshes.READABLE:
        folder, (stem, ending) = os.path.dirname(config.output), os.path.splitext(
            os.path.basename(config.output))
        meshing.refuse_same(config.input, folder, stem, [ending[1:]])
        solid = solids.from_mesh(config.input, config.up, config.allow_open)
        latent = _encoded(config, 'encoder', voxels=solids.encoder_grid(solid.grid)[None])
    else:
        latent = _encoded(config, 'image', image=photos.read(config.input)[None])
    with frozen.load(os.path.join(config.graphs, 'imnet_decoder.pb')) as model:
        field = decoder.FrozenField(model, latent)
        vertices, triangles, _ = extraction.mesh(field, config.resolution)
    meshes.write(config.output, solid.to_mesh(vertices) if solid else vertices, triangles)
    print('{}: {} vertices, {} triangles, {} points evaluated'.format(
        config.output, len(vertices), len(triangles), field.evaluated))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(reconstruct, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
