"""Jobs of four networks at the papers' sizes, each with the peer that does the same in PyTorch.

`JOBS` of a module like this one are what `tests.benchmarks.peer_rows` measures.
"""
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from cmr import networks
from cmr import options as cmr_options
from cmr.src.models import layers as cmr_layers
from cmr.src.models import resnet
from cmr.src.netCell import netWithLoss
from common.device import session
from imnet import options as imnet_options
from imnet.IMGAN import model as imnet_model
from imnet.IMGAN import ops
from r2n2 import models
from r2n2.lib import layers as r2n2_layers
from r2n2.lib import solver
from tests.benchmarks import cmr_step
from vsl import vsl

_BODY = {'nodes': 1723, 'vertices': 6890, 'entries': 7}     # of SMPL's template


class Job(NamedTuple):
    """The same work twice.

    Attributes:
      benchmark, setting: what a row is called.
      ours: function of a number of threads that builds and returns the job.
      peer: (module of tests/benchmarks/peers, function there, its arguments).
    """

    benchmark: str
    setting: str
    ours: Callable[[int], Callable[[], Any]]
    peer: Tuple[str, str, Dict[str, Any]]


def _session(threads):
    sess = tf.Session(config=session.session_config('cpu', threads))
    sess.run(tf.global_variables_initializer())
    return sess


def _rng():
    return np.random.RandomState(0)


def vsl_job(threads, batch, is_training):
    """A training step of VSL, or the reconstruction of a batch."""
    network = vsl.VarShapeLearner(batch_size=batch, training=is_training)
    feed = {network.x: _rng().rand(batch, 30, 30, 30, 1) < 0.1}
    sess = _session(threads)
    ends = (network.loss, network.optimizer) if is_training else network.x_rec
    return lambda: sess.run(ends, feed)


def imnet_job(threads, points):
    """A training step of IM-NET's autoencoder with so many points."""
    network = imnet_model.IMAE(num_points=points)
    step = ops.minimize(ops.adam(5e-5, 0.5), network.loss)
    feed = {network.vox3d: _rng().rand(1, 64, 64, 64, 1) < 0.1,
            network.point_coord: _rng().uniform(-0.5, 0.5, [1, points, 3]),
            network.point_value: _rng().rand(1, points, 1) < 0.3}
    sess = _session(threads)
    return lambda: sess.run((network.loss, step), feed)


def imnet_encoding(threads):
    """The code of one shape."""
    network = imnet_model.IMAE()
    grid, sess = (_rng().rand(64, 64, 64, 1) < 0.1).astype(np.uint8), _session(threads)
    return lambda: network.codes_of(sess, [grid])


def imnet_field(threads, points):
    """The field of a code at so many points."""
    network = imnet_model.IMAE()
    places, sess = _rng().uniform(-0.5, 0.5, [points, 3]).astype(np.float32), _session(threads)
    field = network.field(sess, _rng().rand(network.z_dim))
    return lambda: field(places)


def r2n2_step(threads, name, batch, views):
    """A training step of a network of 3D-R2N2."""
    trainer = solver.Solver(models.load_model(name)())
    step = trainer.step(views, batch, 127)
    feed = {step.images: _rng().uniform(size=step.images.shape.as_list()),
            step.voxels: _rng().uniform(size=step.voxels.shape.as_list()) < 0.1, trainer.rate: 1e-5}
    sess = _session(threads)
    return lambda: sess.run((step.loss, step.update), feed)


def r2n2_inference(threads, name, views):
    """Occupancies of one model from its views."""
    images = tf.placeholder(tf.float32, [views, 1, 127, 127, 3])
    outputs = models.load_model(name)().build(images)
    occupancy = tf.sigmoid(r2n2_layers.margin(outputs.logits))
    sess, feed = _session(threads), {images: _rng().uniform(size=images.shape.as_list())}
    return lambda: sess.run(occupancy, feed)


def cmr_job(threads, batch, is_training):
    """A training step of CMR, or both bodies of pictures."""
    network = networks.Network(cmr_options.network_options('--plain=False'), is_training,
                               on_cpu=True)
    images = network.images(batch)
    outputs = network.build(images)
    ends = (outputs.vertices, outputs.vertices_smpl, outputs.camera)
    if is_training:
        losses, *_ = netWithLoss.losses(outputs, cmr_step.truth(batch), network.body)
        ends = netWithLoss.update(losses['loss'], network.variables, netWithLoss.Adam(1e-5))
    sess, feed = _session(threads), {images: _rng().normal(size=images.shape.as_list())}
    return lambda: sess.run(ends, feed)


def cmr_encoder_step(threads, batch, pixels=224):
    """A step of CMR's encoder alone, on the mean of its features."""
    variables = cmr_layers.Parameters(True, fast_gradients=True)
    images = tf.placeholder(tf.float32, [batch, pixels, pixels, 3])
    features = resnet.resnet50(images, variables)
    update = netWithLoss.update(tf.reduce_mean(features), variables, netWithLoss.Adam(1e-5))
    sess, feed = _session(threads), {images: _rng().normal(size=images.shape.as_list())}
    return lambda: sess.run(update, feed)


def _r2n2_jobs():
    jobs = []
    for name, residual in (('GRUNet', False), ('ResidualGRUNet', True)):
        paper_name = models.load_model(name).paper_name
        for batch, views in ((1, 1), (1, 3), (1, 5), (4, 3 if residual else 1)):
            jobs.append(Job(
                paper_name + ' step', 'batch {}, {} view(s)'.format(batch, views),
                lambda threads, name=name, batch=batch, views=views: r2n2_step(
                    threads, name, batch, views),
                ('r2n2', 'step', {'residual': residual, 'batch': batch, 'views': views})))
        jobs.append(Job(paper_name + ' inference', '3 views',
                        lambda threads, name=name: r2n2_inference(threads, name, 3),
                        ('r2n2', 'inference', {'residual': residual, 'views': 3})))
    return jobs


def _jobs():
    jobs = [Job('VSL ' + ('step' if is_training else 'inference'), 'batch {}'.format(batch),
                lambda threads, batch=batch, is_training=is_training: vsl_job(threads, batch,
                                                                              is_training),
                ('vsl', 'step' if is_training else 'inference', {'batch': batch}))
            for is_training, batches in ((True, (1, 20, 100)), (False, (1, 100)))
            for batch in batches]
    jobs += [Job('IM-NET step', '{}^3'.format(size),
                 lambda threads, size=size: imnet_job(threads, imnet_options.POINTS[size]),
                 ('imnet', 'step', {'points': imnet_options.POINTS[size]})) for size in (16, 64)]
    jobs += [Job('IM-NET encoding', 'one shape', imnet_encoding, ('imnet', 'encoding', {})),
             Job('IM-NET field', '65536 points', lambda threads: imnet_field(threads, 65536),
                 ('imnet', 'field', {'points': 65536}))]
    jobs += _r2n2_jobs()
    jobs += [Job('CMR step', 'batch {}'.format(batch),
                 lambda threads, batch=batch: cmr_job(threads, batch, True),
                 ('cmr', 'step', dict(_BODY, batch=batch))) for batch in (4, 16)]
    jobs.append(Job('CMR encoder step', 'batch 4', lambda threads: cmr_encoder_step(threads, 4),
                    ('cmr', 'encoder_step', {'batch': 4})))
    jobs += [Job('CMR inference', 'batch {}'.format(batch),
                 lambda threads, batch=batch: cmr_job(threads, batch, False),
                 ('cmr', 'inference', dict(_BODY, batch=batch))) for batch in (1, 8)]
    return jobs


JOBS = tuple(_jobs())
