"""Runs a trained network over whole sets: codes, decoded grids, in batches of its fixed size."""
import numpy as np

from vsl import data_utils, measures


def _batches(model, *arrays):
    """Yields (rows in the batch, arrays of the model's batch size); the last one is filled up."""
    for start in range(0, len(arrays[0]), model.batch_size):
        parts = [array[start:start + model.batch_size] for array in arrays]
        count = len(parts[0])
        missing = model.batch_size - count
        if missing:
            parts = [np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
                     for part in parts]
        yield count, parts


def codes(model, voxels):
    """Means of all codes of shapes, without noise.

    Args:
      model: VarShapeLearner with a session.
      voxels: [N, 27000].
    Returns:
      float32 [N, D].
    """
    found = []
    for count, (part,) in _batches(model, voxels):
        feed = model.without_noise()
        feed[model.x] = data_utils.grids(part)
        found.append(model.sess.run(model.latent_feature, feed)[:count])
    return np.concatenate(found)


def decode(model, latent):
    """Occupancies of codes.

    Args:
      model: VarShapeLearner with a session.
      latent: [N, D].
    Returns:
      float32 [N, 27000].
    """
    found = [model.sess.run(model.x_rec, {model.decoder_input: part})[:count]
             for count, (part,) in _batches(model, latent)]
    return np.concatenate(found).reshape(len(latent), -1)


def iou(model, latent, voxels):
    """IoU of the shapes decoded from codes, of which only a batch is in memory at once.

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


def image_codes(model, images, scale=1.):
    """Codes of images, without dropout.

    Args:
      model: vsl_rec.VarShapeLearner with a session.
      images: [N, 100, 100, 3].
      scale: float, factor on the values of the images.
    Returns:
      float32 [N, D].
    """
    # A draw of 0 keeps a unit when all are kept; drawn from (seed, step), it would need the step.
    feed = {model.keep_prob: 1., model.dropout_uniform: np.zeros(
        model.dropout_uniform.shape.as_list(), np.float32)}
    found = []
    for count, (part,) in _batches(model, images):
        feed[model.y] = part * np.float32(scale)
        found.append(model.sess.run(model.learned_feature, feed)[:count])
    return np.concatenate(found)
