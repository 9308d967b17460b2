"""The sets that VSL's scripts work on: their files, splits and the names of their classes."""
import os

from common import cli, errors
from vsl import data_utils, make_dataset
from vsl import options as options_lib


def find(options: cli.Options) -> str:
    """Finds the .mat file of vsl_main.py; without --data_path the procedural furniture is made.

    Args:
      options: settled options of vsl_main.py.
    Returns:
      str, the file.
    """
    if options.data_path:
        return data_utils.find_file(options.data_path,
                                    options_lib.FILES.get(options.preset, 'PASCAL3D.mat'))
    # The second version of the shapes is the kind that the weights that ship know.
    version = 2 if _uses_shipped(options) else 1
    path = os.path.join(options.output_path, 'furniture{}.mat'.format('_v2' * (version == 2)))
    if not os.path.exists(path):
        splits, names = make_dataset.make_furniture(0, version=version)
        data_utils.write(path, splits, names, {
            'source': 'procedural furniture, version {}, seed 0'.format(version)})
    cli.say('no --data_path given: using the procedural furniture, {}'.format(path))
    return path


def _uses_shipped(options):
    return options.pretrained or (bool(options.checkpoint) and os.path.abspath(
        options.checkpoint) == os.path.abspath(options_lib.PRETRAINED))


class ShapeSet:
    """A set of shapes.

    Args:
      path: str, the .mat file.
      names_path: str, a file with the names of its classes, or ''.
      images: bool, whether images belong to the shapes.

    Attributes:
      path: str; names: list of str, the name of class id i is at i - 1.
      train, test: data_utils.Split.
    """

    def __init__(self, path: str, names_path: str = '', images: bool = False):
        self.path = path
        self.train, self.test = (data_utils.read_split(path, split, images)
                                 for split in ('train', 'test'))
        largest = max(self.train.labels.max(), self.test.labels.max())
        self.names = data_utils.class_names(path, largest, names_path)

    def __str__(self) -> str:
        return '{} and {} shapes of {} classes in {}'.format(
            len(self.train.labels), len(self.test.labels), len(self.names), self.path)

    def with_steps(self, options: cli.Options) -> cli.Options:
        """Returns options whose `training_steps` are known: --total_epoch rounds where unset.

        Raises:
          errors.InputError: there are fewer shapes for training than a batch holds.
        """
        count = len(self.train.labels)
        data_utils.require_batch(count, options.batch_size, self.path, 'shapes for training')
        return options.replace(training_steps=options.training_steps or (
            options.total_epoch * (count // options.batch_size)))


class ImageSet(ShapeSet):
    """A set of shapes with images, of which one class or all are chosen.

    Args:
      options: settled options of vsl_imrec.py.

    Attributes (besides those of ShapeSet):
      label: int, id of the class; 0: all.
      title: str, name of the class, or all.
    """

    def __init__(self, options: cli.Options):
        super().__init__(data_utils.find_file(options.data_path, 'PASCAL3D.mat'),
                         options.class_names, images=True)
        self.label = self.label_of(options.class_name, options.preset)
        self.title = self.title_of(self.label)
        if self.label:
            self.train = data_utils.select(self.train, self.label)
            self.test = data_utils.select(self.test, self.label)
        if not len(self.test.labels):
            raise errors.InputError('{} has no test image of the class {}.'.format(
                self.path, self.title))

    def label_of(self, class_name: str, preset: str) -> int:
        """Returns the id of the class that --class names, 0 for all.

        Args:
          class_name: str; None: all with the preset jointly, else the first class.
          preset: str.
        """
        chosen = class_name or ('all' if preset == 'jointly' else '1')
        return 0 if chosen == 'all' else data_utils.class_id(chosen, self.names)

    def title_of(self, label: int) -> str:
        """Returns the name of a class, or all."""
        return self.names[label - 1] if label else 'all'

    def __str__(self) -> str:
        return '{} and {} images of {} in {}'.format(
            len(self.train.labels), len(self.test.labels),
            'all {} classes'.format(len(self.names)) if not self.label else self.title, self.path)
