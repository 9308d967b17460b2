"""What tokens mean: quantised coordinates, vertices and faces of drawn sequences."""
import tensorflow.compat.v1 as tf


def dequantize_verts(verts, n_bits, add_noise=False):
    """Puts integer coordinates back into the unit cube.

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


def quantize_verts(verts, n_bits, exact=False):
    """Cuts coordinates of the unit cube (-0.5 to 0.5) down to integers 0 to 2^n_bits - 1.

    It truncates, so it is no exact inverse of `dequantize_verts`: 63 of the 256 values of 8 bits
    come back one lower (fewer where the graph's optimiser has turned the division into a product).
    Kept: the face model sees its vertices so in training (see README). `exact` rounds instead.
    """
    levels = (verts + 0.5) * (2 ** n_bits - 1)
    return tf.cast(tf.floor(levels + 0.5) if exact else levels, tf.int32)


def vertices_from_tokens(tokens, quantization_bits, recenter_verts=True,
                         only_return_complete=True):
    """Turns token sequences into vertices; what `VertexModel.sample` returns.

    Args:
      tokens: int32 [B, 3 * n + 1]; what stands behind the first 0 of a row is ignored, and so is a
        vertex that the stop token cuts.
      quantization_bits: int.
      recenter_verts, only_return_complete: see `VertexModel.sample`.
    """
    most = tokens.shape.as_list()[1] // 3
    is_stop = tf.equal(tokens, 0)
    completed = tf.reduce_any(is_stop, axis=1)
    stop = tf.argmax(tf.cast(is_stop, tf.int32), axis=1, output_type=tf.int32)
    num_vertices = tf.where(completed, stop, tf.fill(tf.shape(stop), 3 * most)) // 3
    mask = tf.cast(tf.range(most)[None] < num_vertices[:, None], tf.float32)
    coordinates = dequantize_verts(tokens[:, :3 * most] - 1, quantization_bits)
    vertices = tf.reshape(coordinates, [-1, most, 3])[..., ::-1] * mask[..., None]
    if recenter_verts:
        far = (1. - mask[..., None]) * 1e10
        highest = tf.reduce_max(vertices - far, axis=1, keepdims=True)
        lowest = tf.reduce_min(vertices + far, axis=1, keepdims=True)
        vertices = (vertices - 0.5 * (highest + lowest)) * mask[..., None]
    outputs = {'completed': completed, 'vertices': vertices, 'num_vertices': num_vertices,
               'vertices_mask': mask}
    return _complete_rows(outputs, completed) if only_return_complete else outputs


def _complete_rows(values, completed):
    return {key: tf.boolean_mask(value, completed) for key, value in values.items()}


def faces_from_tokens(tokens, context, only_return_complete=True):
    """Cuts token sequences behind their last whole face; what `FaceModel.sample` returns.

    Args:
      tokens: int32 [B, L]. A row without a stop token ends at its last new-face token, which
        becomes its stop token.
      context: dict of tensors [B, ...].
      only_return_complete: see `FaceModel.sample`.
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
