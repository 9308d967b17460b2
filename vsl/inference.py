"""Encodes and decodes whole sets with a trained network, in batches of its fixed size."""
import numpy as np

from common.training import reporting
from vsl import data_utils, measures, vsl, vsl_rec


def _batches(model, what, *arrays):
    """Yields (rows in the batch, arrays of the model's batch size), the last one padded."""
    for start in reporting.progress(range(0, len(arrays[0]), model.batch_size), what):
        parts = [array[start:start + model.batch_size] for array in arrays]
        count = len(parts[0])
        missing = model.batch_size - count
        if missing:
            parts = [np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
                     for part in parts]
        yield count, parts


def codes(model: vsl.VarShapeLearner, voxels: np.ndarray) -> np.ndarray:
    """Encodes shapes to the means of their latent codes.

    Args:
      model: VarShapeLearner with a session.
      voxels: [N, 27000].
    Returns:
      float32 [N, D].
    """
    parts = []
    for count, (part,) in _batches(model, 'encoding batches', voxels):
        feed = model.without_noise()
        feed[model.x] = data_utils.grids(part)
        parts.append(model.sess.run(model.latent_feature, feed)[:count])
    return np.concatenate(parts)


def decode(model: vsl.VarShapeLearner, latent: np.ndarray) -> np.ndarray:
    """Decodes latent codes to occupancies.

    Args:
      model: VarShapeLearner with a session.
      latent: [N, D].
    Returns:
      float32 [N, 27000] in (0, 1).
    """
    parts = [model.sess.run(model.x_rec, {model.decoder_input: part})[:count]
             for count, (part,) in _batches(model, 'decoding batches', latent)]
    return np.concatenate(parts).reshape(len(latent), -1)


def iou(model: vsl.VarShapeLearner, latent: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Returns the IoU of decoded shapes, of which only a batch is in memory at once.

    Args:
      model: VarShapeLearner with a session.
      latent: [N, D].
      voxels: [N, 27000], the true occupancies.
    Returns:
      float64 [N].
    """
    starts = range(0, len(latent), model.batch_size)
    parts = [slice(start, start + model.batch_size) for start in starts]
    return np.concatenate([measures.iou(decode(model, latent[part]), voxels[part])
                           for part in parts])


def image_codes(model: vsl_rec.VarShapeLearner, images: np.ndarray,
                scale: float = 1.) -> np.ndarray:
    """Regresses the latent codes of the shapes in images, without dropout.

    Args:
      model: vsl_rec.VarShapeLearner with a session.
      images: [N, 100, 100, 3].
      scale: float, factor on the values of the images.
    Returns:
      float32 [N, D].
    """
    # At keep_prob 1 noise of 0 keeps every unit; as it depends on (seed, step), the step would be
    # needed otherwise.
    feed = {model.keep_prob: 1., model.dropout_uniform: np.zeros(
        model.dropout_uniform.shape.as_list(), np.float32)}
    parts = []
    for count, (part,) in _batches(model, 'encoding batches of images', images):
        feed[model.y] = part * np.float32(scale)
        parts.append(model.sess.run(model.learned_feature, feed)[:count])
    return np.concatenate(parts)
