"""Conversion of token sequences to quantised coordinates, vertices and faces.

B: batch, L: tokens of a face sequence, n: vertices at most.
"""
from typing import Any, Dict

import numpy as np
import tensorflow.compat.v1 as tf


def dequantize_verts(verts: tf.Tensor, n_bits: int, add_noise: bool = False) -> tf.Tensor:
    """Maps integer coordinates to the unit cube.

    Args:
      verts: int tensor of any shape, 0 to 2^n_bits - 1.
      n_bits: int.
      add_noise: bool, add U(0, 1) / (2^n_bits - 1) to each coordinate.
    Returns:
      float32 tensor of the same shape, -0.5 to 0.5.
    """
    levels = 2 ** n_bits - 1
    verts = tf.cast(verts, tf.float32)
    verts = verts / levels - 0.5
    if add_noise:
        verts += tf.random_uniform(tf.shape(verts)) / levels
    return verts


def scaled_verts(verts: tf.Tensor, n_bits: int) -> tf.Tensor:
    """Maps integer coordinates to the unit cube by a product, not a division.

    TensorFlow's graph optimiser makes `dequantize_verts` this product where it runs. The last bit
    decides which level `quantize_verts` finds in it, so drawing must not depend on the optimiser;
    `mesh_sets.graph_dequantized` does the same in NumPy, for training.

    Args:
      verts, n_bits: see `dequantize_verts`.
    Returns:
      float32 tensor of the same shape, -0.5 to 0.5.
    """
    level = np.float32(1) / np.float32(2 ** n_bits - 1)
    return tf.cast(verts, tf.float32) * level - 0.5


def quantize_verts(verts: tf.Tensor, n_bits: int, exact: bool = False) -> tf.Tensor:
    """Quantises coordinates of the unit cube by truncation.

    It is no exact inverse of `dequantize_verts`: 63 of the 256 values of 8 bits come back one lower
    (fewer where the graph's optimiser replaces the division by a product). As in the original: the
    face model sees its vertices so in training.

    Args:
      verts: float tensor of any shape, -0.5 to 0.5.
      n_bits: int.
      exact: bool, round to the nearest integer instead.
    Returns:
      int32 tensor of the same shape, 0 to 2^n_bits - 1.
    """
    levels = (verts + 0.5) * (2 ** n_bits - 1)
    return tf.cast(tf.floor(levels + 0.5) if exact else levels, tf.int32)


def vertices_from_tokens(tokens: tf.Tensor, quantization_bits: int, recenter_verts: bool = True,
                         only_return_complete: bool = True) -> Dict[str, tf.Tensor]:
    """Converts token sequences to vertices.

    Args:
      tokens: int32 [B, 3 * n + 1]; tokens after the first 0 of a row are ignored, and so is an
        incomplete vertex before it.
      quantization_bits: int.
      recenter_verts, only_return_complete: see `VertexModel.sample`.
    Returns:
      dict: `completed` bool [B], `vertices` [B, n, 3], `num_vertices` int32 [B] and
      `vertices_mask` [B, n], see `VertexModel.sample`.
    """
    most = tokens.shape.as_list()[1] // 3
    is_stop = tf.equal(tokens, 0)
    completed = tf.reduce_any(is_stop, axis=1)
    stop = tf.argmax(tf.cast(is_stop, tf.int32), axis=1, output_type=tf.int32)
    num_vertices = tf.where(completed, stop, tf.fill(tf.shape(stop), 3 * most)) // 3
    mask = tf.cast(tf.range(most)[None] < num_vertices[:, None], tf.float32)
    coordinates = scaled_verts(tokens[:, :3 * most] - 1, quantization_bits)
    vertices = tf.reshape(coordinates, [-1, most, 3])[..., ::-1] * mask[..., None]
    if recenter_verts:
        padding = (1. - mask[..., None]) * 1e10
        highest = tf.reduce_max(vertices - padding, axis=1, keepdims=True)
        lowest = tf.reduce_min(vertices + padding, axis=1, keepdims=True)
        vertices = (vertices - 0.5 * (highest + lowest)) * mask[..., None]
    outputs = {'completed': completed, 'vertices': vertices, 'num_vertices': num_vertices,
               'vertices_mask': mask}
    return _complete_rows(outputs, completed) if only_return_complete else outputs


def _complete_rows(values, completed):
    return {key: tf.boolean_mask(value, completed) for key, value in values.items()}


def faces_from_tokens(tokens: tf.Tensor, context: Dict[str, tf.Tensor],
                      only_return_complete: bool = True) -> Dict[str, Any]:
    """Truncates token sequences after their last complete face.

    Args:
      tokens: int32 [B, L]. A row without a stop token ends at its last new-face token, which
        becomes its stop token.
      context: dict of tensors [B, ...].
      only_return_complete: see `FaceModel.sample`.
    Returns:
      dict: `completed` bool [B], `faces` int32 [B, L], `num_face_indices` int32 [B] and `context`,
      see `FaceModel.sample`.
    """
    length = tokens.shape.as_list()[1]
    positions = tf.range(length)[None]
    is_stop = tf.equal(tokens, 0)
    completed = tf.reduce_any(is_stop, axis=1)
    stop = tf.argmax(tf.cast(is_stop, tf.int32), axis=1, output_type=tf.int32)
    last_new_face = tf.reduce_max(tf.cast(tf.equal(tokens, 1), tf.int32) * positions, axis=1)
    num_face_indices = tf.where(completed, stop, last_new_face) + 1
    inside = tf.cast(positions < num_face_indices[:, None] - 1, tf.int32)
    outputs = {'completed': completed, 'faces': tokens * inside,
               'num_face_indices': num_face_indices}
    if only_return_complete:
        outputs, context = [_complete_rows(part, completed) for part in (outputs, context)]
    return dict(outputs, context=context)
