"""A folder of meshes as a new user has it: three classes, sub-folders, several formats."""
import os

import numpy as np
import trimesh


def write(folder, count=32):
    """Writes boxes, tubes and dumb-bells of varied proportions; returns the folder as str."""
    rng = np.random.RandomState(0)
    endings = ('.obj', '.ply', '.stl', '.glb', '.off')
    for number in range(count):
        kind = ('box', 'tube', 'dumbbell')[number % 3]
        sizes = rng.uniform(0.4, 1.6, 3)
        if kind == 'box':
            mesh = trimesh.creation.box(sizes)
        elif kind == 'tube':
            mesh = trimesh.creation.annulus(0.5 * sizes[0], 0.5 * sizes[0] + 0.3, sizes[1],
                                            sections=24)
        else:
            mesh = trimesh.util.concatenate([
                trimesh.creation.icosphere(2, 0.4 * sizes[0]).apply_translation([0, 0, side])
                for side in (-0.8, 0.8)] + [trimesh.creation.cylinder(0.15, 1.6, sections=16)])
        place = os.path.join(str(folder), kind)
        os.makedirs(place, exist_ok=True)
        mesh.export(os.path.join(place, 'my {} {:02d}{}'.format(
            kind, number, endings[number % len(endings)])))
    return str(folder)
