"""All of IM-NET in one run: three stages of the autoencoder, codes, GAN, pictures, meshes, .pb.

Each stage is a program of its own too, with its own options: those are its defaults, and what
train.py has of the same name.
"""
import argparse
import os
from typing import Any, Callable, Dict

from common import cli, errors, files
from common.training import launch, locks, reporting
from imnet import data_utils, evaluation, freeze, furniture_set, inference, own_set
from imnet import options as options_lib
from imnet.IMGAN import training as gan_training
from imnet.IMSVR import training as svr_training


def train(options: cli.Options, context: launch.Context) -> None:
    """Runs the stages; prints the lines that launch scripts read.

    Args:
      options: of `options.complete`; context: of the output folder.
    Raises:
      errors.UsageError: several processes; errors.InputError: the data cannot be used.
    """
    if context.ranks.size > 1:
        raise errors.UsageError('imnet/train.py runs its stages in one process; with several, '
                                'train by imnet/IMGAN/main.py and imnet/IMSVR/main.py.')
    if options.data_path:   # data that is not there leaves no folder behind
        data_utils.find(options.data_path, options.dataset, 'train')
    files.make_folder(options.output_path)
    with locks.hold(options.output_path):
        files.remove_temporary(options.output_path)
        options = _with_data(options)
        if options.preset == 'own':
            options = own_set.fitted(options)
        _run_stages(options, context)


def _run_stages(options, context):
    has_test = _has_test_split(options)
    if not has_test:
        cli.say('note: no test split: its galleries and the evaluation are left out')
    autoencoder: Dict[str, Any] = {}
    means: Dict[str, Any] = {}
    for stage in [stage for stage in options_lib.STAGES if stage in options.stages]:
        if stage.startswith('ae'):
            # --noresume starts the first stage anew; the others go on from it.
            resume = options.resume or bool(autoencoder)
            autoencoder = _train_ae(options.replace(resume=resume), context,
                                    int(stage[2:])) or autoencoder
        elif stage == 'codes':
            inference.write_codes(_of_program(options, options_lib.parse_imgan, ef_dim=None,
                                              checkpoint=''), context)
        elif stage == 'gan':
            _train_gan(options, context)
        elif stage == 'svr':
            _train_svr(options, context)
        elif stage == 'meshes':
            _write_meshes(options, context, has_test)
        elif stage == 'freeze':
            cli.say('--- freezing')
            freeze.freeze_run(options, context, 0)
        elif has_test:
            cli.say('--- evaluation')
            means = _evaluate(options, context)
    if autoencoder.get('seconds_per_step'):
        cli.say(reporting.step_time_line(autoencoder['seconds_per_step']))
    if 'iou' in means:
        cli.say(reporting.accuracy_line(means['iou']))
    cli.say('results in {}: samples/*/meshes.png, *.pb, eval/'.format(options.output_path))


def _with_data(options):
    """Makes the furniture where no data was given; the options then name it."""
    if options.data_path:
        return options
    options = options.replace(data_path=os.path.join(options.output_path, 'data'),
                              dataset=furniture_set.STEM)
    path = os.path.join(options.data_path, options.dataset)
    if not all(os.path.exists('{}_{}.hdf5'.format(path, half)) for half in ('train', 'test')):
        # The second version of the shapes is the kind that the weights that ship know.
        furniture_set.write(options.data_path, version=2 if options.pretrained else 1)
    cli.say('no --data_path given: using the procedural furniture in ' + options.data_path)
    return options


def _has_test_split(options):
    """Returns whether the data have their own test split; a missing training set is an error."""
    train_path = data_utils.find(options.data_path, options.dataset, 'train')
    try:
        return data_utils.find(options.data_path, options.dataset, 'test') != train_path
    except errors.InputError as error:
        cli.say('note: {}'.format(error))
        return False


def _of_program(options: cli.Options, parse: Callable[..., argparse.Namespace], **changes: Any
                ) -> cli.Options:
    """The options of a program: its defaults, those of train.py of the same name, and `changes`."""
    defaults = vars(parse([]))
    same = {name: value for name, value in vars(options).items() if name in defaults}
    return cli.Options(**dict(defaults, **same)).replace(
        **dict({'data_dir': options.data_path, 'pretrained': False}, **changes))


def _train_ae(options, context, size):
    number = (16, 32, 64).index(size)
    epoch = options.epochs[number]
    if not epoch and not options.training_steps:
        cli.say('--- autoencoder, points_{}: no epoch'.format(size))
        return None
    cli.say('--- autoencoder, points_{}, to epoch {}'.format(size, epoch))
    return gan_training.train_ae(_of_program(
        options, options_lib.parse_imgan, ae=True, train=True, real_size=size,
        pretrained=options.pretrained, batch_size_input=options_lib.POINTS[size],
        epoch=epoch), context)


def _train_gan(options, context):
    cli.say('--- GAN')
    gan_training.train_gan(_of_program(
        options, options_lib.parse_imgan, train=True, epoch=options.gan_epochs,
        checkpoint_every=None, training_steps=None, checkpoint='', freeze_layers=[],
        restart_layers=[]),
        context.replace(freeze_layers=(), restart_layers=()))


def _train_svr(options, context):
    cli.say('--- single-view reconstruction')
    svr_training.train(_of_program(
        options, options_lib.parse_imsvr, train=True, epoch=options.svr_epochs,
        ef_dim=options.svr_ef_dim, learning_rate=options.svr_learning_rate,
        batch_size=options.svr_batch_size, checkpoint='', pretrained=options.pretrained,
        checkpoint_every=max(10, options.checkpoint_every or 10)), context)


def _evaluate(options, context):
    """Measures the first test shapes; of a set of one's own all, and from pictures too."""
    is_own = options.preset == 'own'
    kinds = ['ae'] + ['svr'] * (is_own and 'svr' in options.stages)
    means = [evaluation.evaluate(_of_program(
        options, options_lib.parse_evaluate, kind=kind, end=None if is_own else options.num_meshes,
        ef_dim=None, checkpoint=''), context) for kind in kinds]
    return means[0]


def _write_meshes(options, context, has_test):
    """Galleries of the autoencoder, of the GAN, and of pictures."""
    cli.say('--- meshes')

    def of(parse, folder, **changes):
        return _of_program(options, parse, in_turn=options.num_meshes, checkpoint='', ef_dim=None,
                           sample_dir=os.path.join(options.output_path, 'samples', folder),
                           formats=['ply', 'obj'], **changes)

    imgan, imsvr = options_lib.parse_imgan, options_lib.parse_imsvr
    inference.write_meshes(of(imgan, 'ae_train', split='train'), context, 'ae')
    if has_test:
        inference.write_meshes(of(imgan, 'ae_test', split='test'), context, 'ae')
    inference.interpolate(of(imgan, 'interpolation', steps=4), context, 'ae')
    inference.sample(of(imgan, 'gan', num_samples=options.num_meshes), context)
    if has_test:
        inference.write_meshes(of(imsvr, 'svr_test', split='test'), context, 'svr')
