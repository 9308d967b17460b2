"""Writes the tables of options that the launch scripts read, from the parsers of the models.

A launch script (<model>/test/train_*_1p.sh) knows the options of its model's training script. Run
this after an option has changed; a test says when the tables are stale.

Example: python -m common.launch_tables
"""
import argparse
import os
import sys
from typing import Dict, List, NamedTuple, Optional
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import collection, errors, files

COMMON = 'common/modelarts/tables.sh'

# What the launch scripts of all models take, in ModelZoo's words: kind, name, further names, and
# the meaning where the parsers of the models have different ones.
_SHARED = (
    ('paths', 'data_path', ('datapath', 'data_dir'), 'data: the folder itself or its parent'),
    ('paths', 'output_path', (),
     'checkpoints, samples and records (default: a folder below test/output)'),
    ('paths', 'checkpoint', ('ckpt_path',), 'where to start from'),
    ('values', 'training_steps', ('train_steps',), 'optimizer steps in all'),
    ('values', 'train_epochs', ('total_epoch', 'epoch'),
     'epochs, where the model counts in epochs'),
    ('values', 'batch_size', (), 'samples in a step'),
    ('values', 'learning_rate', (), 'of the optimizer'),
    ('values', 'conda_name', (), 'conda environment to activate first'),
    ('flags', 'bind_core', (), 'keep to the share of the cores that belongs to this device'),
)


class Option(NamedTuple):
    """An option of a launch script.

    Attributes:
      kind: 'paths', 'values' or 'flags' (True|False).
      name: without dashes.
      aliases: further names.
      meaning: for --help.
    """

    kind: str
    name: str
    aliases: List[str]
    meaning: str


def parser_of(model: collection.Model) -> argparse.ArgumentParser:
    """Returns the parser of the training script of a model."""
    class Stop(Exception):
        """Ends `parse_args` before it reads anything."""

    def stop(parser, *_):
        raise Stop(parser)

    with mock.patch.object(type(cli.make_parser('any')), 'parse_args', stop):
        try:
            model.module('options').parse_args([])
        except Stop as caught:
            return caught.args[0]
    raise errors.InputError('{0}.options.parse_args does not use cli.make_parser.'.format(
        model.name))


def common_options() -> List[Option]:
    """Lists what the launch scripts of all models take."""
    parser = cli.make_parser('any')
    cli.add_run_options(parser, 'output')
    shared = [Option(kind, name, list(aliases), meaning)
              for kind, name, aliases, meaning in _SHARED]
    names = {option.name for option in shared}
    return shared + [option for option in _options(parser, {}) if option.name not in names]


def model_options(parser: argparse.ArgumentParser) -> List[Option]:
    """Lists what the parser of a model has besides; its further names of common options too.

    Options that take several values, or none, are not for launch scripts.
    """
    return _options(parser, {option.name: option for option in common_options()})


def _options(parser: argparse.ArgumentParser, common: Dict[str, Option]) -> List[Option]:
    options: List[Option] = []
    for action in parser._actions:
        if action.nargs not in (None, '?', '+', '*') or not action.option_strings:
            continue
        names = [name.lstrip('-').replace('-', '_') for name in action.option_strings]
        names = list(dict.fromkeys(name for name in names if not (
            action.type is cli.boolean and name.startswith('no') and name[2:] in names)))
        # Of the same dest: another name, but with choices of its own it has other values.
        candidates = names if action.choices else names + [action.dest]
        name = next((name for name in candidates if name in common), names[0])
        known = {name}.union(common[name].aliases if name in common else ())
        aliases = [alias for alias in names if alias not in known]
        if name in common and not aliases:
            continue
        kind = ('flags' if action.type is cli.boolean else
                'paths' if action.type is cli.path else 'values')
        parts = [', '.join(map(str, action.choices or ())), action.help or '']
        meaning = ' '.join(': '.join(filter(None, parts)).split()).replace('%%', '%')
        options.append(Option(kind, name, aliases, meaning))
    return options


def texts() -> Dict[str, str]:
    """Returns {path from the root: what should stand there}."""
    contents = {COMMON: _text('common/cli.py', common_options(), 'common')}
    for model in collection.MODELS:
        contents['{}/test/tables.sh'.format(model.name)] = _text(
            '{}/options.py'.format(model.name), model_options(parser_of(model)), 'model',
            'entry={}\n'.format(model.entry))
    return contents


def _text(source: str, options: List[Option], prefix: str, head: str = '') -> str:
    """Writes the tables of one file: arrays of 'name|meaning', and of 'further name|name'."""
    names = {option.name for option in common_options()} if prefix == 'model' else set()
    lines = ['# shellcheck shell=bash disable=SC2034',
             '# Written by python -m common.launch_tables from {}; do not edit.'.format(source)]
    lines += head.splitlines()
    for kind in ('paths', 'values', 'flags'):
        rows = [_row(option) for option in options
                if option.kind == kind and option.name not in names]
        lines += _array('{}_{}'.format(prefix, kind), rows)
    lines += _array(prefix + '_aliases', ['{}|{}'.format(alias, option.name)
                                          for option in options for alias in option.aliases])
    return '\n'.join(lines) + '\n'


def _row(option: Option) -> str:
    also = ' (also {})'.format(', '.join('--' + alias for alias in option.aliases))
    return '{}|{}{}'.format(option.name, option.meaning, also if option.aliases else '')


def _array(name: str, rows: List[str]) -> List[str]:
    quoted = ["  '{}'".format(row.replace("'", "'\\''")) for row in rows]
    return [name + '=('] + quoted + [')'] if rows else [name + '=()']


def stale() -> List[str]:
    """Lists the tables that are missing or differ from what the parsers say."""
    names = []
    for name, text in texts().items():
        try:
            with open(os.path.join(collection.ROOT, name), encoding='utf-8') as stream:
                is_stale = stream.read() != text
        except OSError:
            is_stale = True
        names += [name] if is_stale else []
    return names


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    cli.add_flag(parser, '--check', help='write nothing; exit code 1 when a table is stale')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def write(options: argparse.Namespace) -> int:
    """Writes the tables that are stale; with --check it names them."""
    names = stale()
    contents = texts()
    for name in names:
        if not options.check:
            files.write_text(os.path.join(collection.ROOT, name), contents[name])
        cli.say('{}: {}'.format(name, 'stale' if options.check else 'written'))
    cli.say('{} of {} tables were stale'.format(len(names), len(contents)))
    return 1 if names and options.check else 0


def main(argv: Optional[List[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(write, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
