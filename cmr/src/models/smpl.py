"""The body model SMPL (Loper et al. 2015): pose and shape to vertices, vertices to joints.

B: batch, V: vertices, in metres. The arrays come from a file; any body with the same keys will do.
"""
from typing import Any, Dict

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.models import geometric_layers

# The 24 training joints among 24 of SMPL and 14 more.
JOINTS_IDX = (8, 5, 29, 30, 4, 7, 21, 19, 17, 16, 18, 20, 31, 32, 33, 34, 35, 36, 37, 24, 26, 25,
              28, 27)
NUM_BETAS = 10          # shape coefficients


class Smpl:
    """A body model.

    Args:
      body: dict of arrays: v_template [V, 3], weights [V, 24], shapedirs [V, 3, 10 or more],
        posedirs [V, 3, 207], J_regressor [24, V] (dense or sparse), kintree_table [2, 24],
        f [F, 3], J_regressor_extra [14, V]; or J_regressor_24 [24, V], the training joints as they
        are, in place of the last.
    """

    def __init__(self, body: Dict[str, Any]):
        def dense(name):
            value = body[name]
            return np.asarray(value.todense() if hasattr(value, 'todense') else value, np.float32)

        self.v_template = dense('v_template')
        self.weights = dense('weights')
        self.shapedirs = dense('shapedirs')[:, :, :NUM_BETAS]
        self.posedirs = dense('posedirs')
        self.joint_regressor = dense('J_regressor')
        if 'J_regressor_24' in body:
            self._training_joints = dense('J_regressor_24')
        else:
            both = np.concatenate([self.joint_regressor, dense('J_regressor_extra')])
            self._training_joints = both[list(JOINTS_IDX)]
        self.faces = np.asarray(body['f'], np.int32)
        table = np.asarray(body['kintree_table']).astype(np.int64)
        columns = {joint: column for column, joint in enumerate(table[1].tolist())}
        self.parents = [columns[joint] for joint in table[0, 1:].tolist()]     # of joints 1 to 23

    def vertices(self, pose: tf.Tensor, betas: tf.Tensor) -> tf.Tensor:
        """Returns the vertices of posed bodies (linear blend skinning).

        Args:
          pose: axis-angle [B, 72] in radians, or matrices [B, 24, 3, 3]; betas: [B, 10].
        Returns:
          [B, V, 3].
        """
        batch, count = betas.shape[0].value, len(self.v_template)
        if pose.shape.ndims == 2:
            pose = geometric_layers.rodrigues(tf.reshape(pose, [batch * 24, 3]))
            pose = tf.reshape(pose, [batch, 24, 3, 3])
        shapes = tf.constant(self.shapedirs.reshape(-1, NUM_BETAS))
        shaped = self.v_template + tf.reshape(tf.matmul(betas, shapes, transpose_b=True),
                                              [batch, count, 3])
        joints = _each(tf.constant(self.joint_regressor), shaped)
        bends = tf.reshape(pose[:, 1:] - np.eye(3, dtype=np.float32), [batch, 207])
        directions = tf.constant(self.posedirs.reshape(-1, 207))
        posed = shaped + tf.reshape(tf.matmul(bends, directions, transpose_b=True),
                                    [batch, count, 3])
        rotations, shifts = self._chain(pose, joints)
        # Each vertex is moved by the weighted mean of its joints' transformations.
        motions = tf.reshape(tf.concat([rotations, shifts[..., None]], axis=3), [batch, 24, 12])
        mixed = tf.reshape(_each(tf.constant(self.weights), motions), [batch, count, 3, 4])
        return tf.reduce_sum(mixed[..., :3] * posed[:, :, None], axis=3) + mixed[..., 3]

    def _chain(self, pose, joints):
        """Motions of the joints from rest: rotations [B, 24, 3, 3] and shifts [B, 24, 3]."""
        def of_parents(values):
            return tf.stack([values[parent] for parent in self.parents], axis=1)

        turns, rests = tf.unstack(pose, axis=1), tf.unstack(joints, axis=1)
        rotations, places = turns[:1], rests[:1]
        for turn, parent in zip(turns[1:], self.parents):
            rotations.append(tf.matmul(rotations[parent], turn))
        offsets = _rotated(of_parents(rotations), joints[:, 1:] - of_parents(rests))
        for offset, parent in zip(tf.unstack(offsets, axis=1), self.parents):
            places.append(places[parent] + offset)
        rotation = tf.stack(rotations, axis=1)
        return rotation, tf.stack(places, axis=1) - _rotated(rotation, joints)

    def joints(self, vertices: tf.Tensor) -> tf.Tensor:
        """Returns the 24 training joints [B, 24, 3] of vertices [B, V, 3]."""
        return _each(tf.constant(self._training_joints), vertices)


def _rotated(rotation, vector):
    """[B, m, 3, 3] times [B, m, 3]."""
    return tf.reduce_sum(rotation * vector[:, :, None], axis=3)


def _each(matrix, x):
    """[m, n] times each of [B, n, c]: [B, m, c], as one product."""
    batch, count, channels = x.shape.as_list()
    columns = tf.reshape(tf.transpose(x, [1, 0, 2]), [count, batch * channels])
    y = tf.reshape(tf.matmul(matrix, columns), [matrix.shape[0].value, batch, channels])
    return tf.transpose(y, [1, 0, 2])
