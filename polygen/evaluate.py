"""Measures trained PolyGen models on held-out meshes, beside two baselines.

Prints and writes `<output_path>/eval/evaluation.json`: bits per vertex and next-token accuracy of
both models, and how many of the samples drawn are complete and valid.

Example: python polygen/evaluate.py --data_path=my_meshes/test --train_path=my_meshes/train
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tensorflow.compat.v1 as tf

from common import cli, device, errors, files
from polygen import measures, mesh_sets, presets
from polygen import sample as sample_script


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    presets.add_checkpoint_options(parser)
    presets.add_sampling_options(parser)
    parser.add_argument('--data_path', default=presets.SHIPPED_MESHES, help='meshes to measure on')
    parser.add_argument('--split', default='test', help='of packed sets: train or test')
    parser.add_argument('--train_path', default='',
                        help='meshes the models were trained on, for the baseline of token '
                             'frequencies; unset: the --data_path of the training run')
    parser.add_argument('--batch_size', type=cli.positive_int, default=4, help='meshes at once')
    parser.add_argument('--num_buckets', type=cli.positive_int, default=4,
                        help='groups of meshes of like length')
    parser.add_argument('--num_samples', type=cli.non_negative_int, default=16,
                        help='samples to draw for the shares of complete and valid ones')
    cli.add_flag(parser, '--untrained', help='measure fresh models too, for comparison')
    return parser.parse_args(argv)


def _load(config, path, split):
    examples, summary = mesh_sets.load_meshes(
        path, config.quantization_bits, config.max_vertices, config.max_face_tokens, split=split,
        exact=config.exact_quantization, keep_winding=config.keep_winding,
        class_names=getattr(config, 'class_names', None))
    cli.say(str(summary))
    presets.check_labels(config, examples)
    return examples


def _table(rows):
    """Markdown lines of {row name: figures of `measures.Evaluator.run`}."""
    names = ['bits_vertices', 'bits_faces', 'accuracy_vertices', 'accuracy_faces']
    yield '| ' + ' | '.join([''] + names) + ' |'
    yield '|---' * (len(names) + 1) + '|'
    for label, row in rows.items():
        yield '| ' + ' | '.join([label] + ['{:.4f}'.format(row[name]) for name in names]) + ' |'


def _shares(samples):
    complete = sum(sample.complete for sample in samples) / len(samples)
    valid = sum(measures.is_valid(sample) for sample in samples) / len(samples)
    return {'samples': len(samples), 'complete': complete, 'valid': valid}


def evaluate(config):
    """Measures the checkpoint, the baselines and samples."""
    data_path, split, train_path = config.data_path, config.split, config.train_path
    options, weights = presets.trained(config)
    if not train_path and options.vertex_checkpoint:
        raise errors.UsageError('--vertex_checkpoint tells nothing of its training: name the '
                                'meshes for the baseline by --train_path.')
    train_path = train_path or presets.recorded(config)['data_path']
    config = options
    examples = _load(config, data_path, split)
    train_examples = _load(config, train_path, 'train')
    bits = config.quantization_bits
    rows = {'uniform': measures.uniform_baseline(examples, bits),
            'token frequencies': measures.frequency_baseline(train_examples, examples, bits)}
    models = presets.make_models(config)
    evaluator = measures.Evaluator(models, examples, config.batch_size, config.num_buckets, bits)
    sampler = None
    if config.num_samples:
        sampler = sample_script.Sampler(models, config, min(config.num_samples, 4))
    found = {'checkpoint': weights.name, 'meshes': len(examples),
             'data_path': data_path}
    with tf.Session(config=device.session_config(config)) as sess:
        if config.untrained:
            sess.run(tf.global_variables_initializer())
            rows['untrained'] = evaluator.run(sess)
        weights.restore(sess)
        rows[weights.name] = evaluator.run(sess)
        if sampler:
            labels = sample_script.labels_to_draw(None, config.num_classes, config.num_samples)
            found['samples'] = _shares(sampler.draw(sess, labels, config.seed))
    found['figures'] = rows
    for line in _table(rows):
        cli.say(line)
    if sampler:
        cli.say('{samples} samples: {complete:.1%} complete, {valid:.1%} valid'.format(
            **found['samples']))
    path = os.path.join(config.output_path, 'eval', 'evaluation.json')
    files.write_json(path, found)
    cli.say('results in {}'.format(path))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(evaluate, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
