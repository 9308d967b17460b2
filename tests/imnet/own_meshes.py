"""Three closed meshes through IM-NET: sampled, overfitted, extracted at 128^3, measured.

An ellipsoid, a ring and a capsule of different scales lie at different places. The Chamfer distance
is the sum of the mean distances of one surface's points to those of the other, each way, in
diagonals of the mesh, which is 1 in the network's box. It must stay below two voxels of 128^3. The
same command goes on where it stopped; the defaults take about an hour of one thread.

Example: python -m tests.imnet.own_meshes --folder=own
"""
import os
import subprocess
import sys

import numpy as np
import trimesh
from scipy import spatial

from common import cli, errors
from common.geometry import meshes
from imnet import measures

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RESOLUTION, LIMIT = 128, 2 / 128
_POINTS = 20000


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--folder', required=True, help='for meshes, set, training and results')
    parser.add_argument('--epochs', nargs=3, type=cli.positive_int, default=[600, 2000, 2400],
                        help='in all, after each of the three parts of the training')
    parser.add_argument('--gf_dim', type=cli.positive_int, default=32, help='width of the decoder')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def bodies():
    """{name: (vertices [V, 3], triangles [T, 3])}, closed."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=40)
    ball.apply_scale([1, 0.6, 0.8])
    ball.apply_translation([100, -30, 7])
    ring = trimesh.creation.annulus(0.004, 0.01, 0.008)
    ring.apply_translation([-1, 2, 0.5])
    capsule = trimesh.creation.capsule(height=2., radius=0.4)
    return {name: (np.array(mesh.vertices), np.array(mesh.faces))
            for name, mesh in (('ball', ball), ('ring', ring), ('capsule', capsule))}


def chamfer(predicted, truth):
    """Both mean distances between two meshes, added, in diagonals of the second one: float."""
    rng = np.random.RandomState(0)
    scale = np.linalg.norm(np.ptp(truth[0], axis=0))
    first, second = (measures.sample_surface(vertices / scale, triangles, _POINTS, rng)[0]
                     for vertices, triangles in (predicted, truth))
    return (spatial.cKDTree(second).query(first)[0].mean()
            + spatial.cKDTree(first).query(second)[0].mean())


def _run(script, *arguments):
    status = subprocess.call([sys.executable, os.path.join(ROOT, 'imnet', script), *arguments])
    if status:
        raise errors.InputError('{} ended with exit code {}; see above.'.format(script, status))


def measure(options):
    """Runs the chain and prints the distances.

    Raises:
      errors.InputError: a distance is not below the limit.
    """
    folder = os.path.abspath(options.folder)
    data, output = os.path.join(folder, 'data'), os.path.join(folder, 'output')
    solids = bodies()
    for name, (vertices, triangles) in solids.items():
        meshes.write(os.path.join(folder, 'meshes', 'own', name + '.obj'), vertices,
                     triangles.tolist())
    _run('point_sampling/gather_vox.py', '--input=' + os.path.join(folder, 'meshes', 'own'),
         '--output=' + data)
    common = ['--ae', '--data_dir=' + os.path.join(data, 'own', 'own_vox256.hdf5'),
              '--output_path=' + output, '--threads={}'.format(options.threads)]
    network = ['--train', '--z_dim=32', '--ef_dim=4', '--gf_dim={}'.format(options.gf_dim),
               '--he_init', '--leaky_clip', '--checkpoint_every=100', '--shapes_per_step=3']
    for epochs, rate, size, points in zip(options.epochs, ('1e-3', '1e-3', '2e-4'),
                                          ('16', '64', '64'), ('4096', '16384', '16384')):
        _run('IMGAN/main.py', *common, *network, '--epoch={}'.format(epochs),
             '--learning_rate=' + rate, '--real_size=' + size, '--batch_size_input=' + points)
    too_far = []
    for name, truth in solids.items():
        _run('IMGAN/main.py', *common, '--mesh=' + os.path.join(folder, 'meshes', 'own',
                                                               name + '.obj'),
             '--resolution={}'.format(RESOLUTION), '--formats', 'ply')
        mesh = trimesh.load(os.path.join(output, 'samples', name + '.ply'), process=False)
        far = chamfer((np.array(mesh.vertices), np.array(mesh.faces)), truth)
        cli.say('{}: Chamfer distance {:.4f} diagonals, {:.2f} voxels of {}^3'.format(
            name, far, far * RESOLUTION, RESOLUTION))
        if not far < LIMIT:
            too_far.append(name)
    if too_far:
        raise errors.InputError('two voxels or more away: {}. Train longer (--epochs).'.format(
            ', '.join(too_far)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(measure, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
