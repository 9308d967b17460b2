"""The listings of docs/library.md, run as they stand, each on a tiny run where it looks for one."""
import os
import re
import shutil

import pytest
import tensorflow.compat.v1 as tf

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def listings():
    """{first word of the heading, in lower case: listing} of the document."""
    with open(os.path.join(ROOT, 'docs', 'library.md'), encoding='utf-8') as stream:
        sections = re.split(r'^## ', stream.read(), flags=re.M)[1:]
    return {re.match(r'[\w-]+', section).group().lower():
            re.search(r'```python\n(.*?)```', section, re.S).group(1) for section in sections}


LISTINGS = listings()


def call(script, *arguments):
    """Runs a script's main in a graph of its own; it must end well."""
    with tf.Graph().as_default():
        assert script.main([str(argument) for argument in arguments]) == 0


def train_vsl(output, folder):
    from vsl import vsl_main
    call(vsl_main, '--batch_size=2', '--stages=train,freeze', '--training_steps=1', '--device=cpu',
         '--threads=1', '--print_step=0', '--output_path', output, '--global_latent_dim=3',
         '--local_latent_dim=2', '--local_latent_num=2')


def train_polygen(output, folder):
    from tests.polygen import tiny
    tiny.train(output, tiny.write_solids(folder), 60, '--report_every=60')


def train_imnet(output, folder):
    from tests.imnet import test_main, tiny
    data = tiny.write(str(folder))
    assert test_main.ae(data, str(output), '--epoch=1') == 0
    test_main.make_ball(str(output))


def train_r2n2(output, folder):
    from tests.r2n2 import tiny
    data = tiny.make_data(folder)
    assert tiny.train(output, data, 1)[0] == 0
    views = os.path.join(data, 'ShapeNetRendering', 'chair')
    shutil.copytree(os.path.join(views, sorted(os.listdir(views))[0]), str(
        output / 'furniture' / 'ShapeNetRendering' / 'chair' / '0011'))


def train_cmr(output, folder):
    from cmr import train
    from tests.cmr import tiny
    body = tiny.make_body(folder / 'body')
    data = tiny.make_set(folder / 'set', body, num_train=4, num_test=1)
    call(train, '--data_path', data, '--dataset=up-3d', '--body', body, '--batch_size=4',
         '--threads=1', '--num_workers=1', '--device=cpu', '--training_steps=1',
         '--output_path', output, *tiny.NETWORK)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A folder like the project's root: what ships lies there, and the tiny runs of the tests."""
    folder = tmp_path_factory.mktemp('root')
    for name in ('polygen/meshes', 'cmr/data'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(os.path.join(ROOT, name))
    return folder


@pytest.fixture
def listing(root, tmp_path, monkeypatch):
    """Gives `run(heading, model, train)`: the variables that a listing leaves after it has run."""
    def execute(heading, model, train):
        monkeypatch.chdir(str(root))
        output = root / model / 'test' / 'output' / '0'
        if not output.exists():
            train(output, tmp_path)
        variables = {}
        with tf.Graph().as_default():
            exec(compile(LISTINGS[heading], 'docs/library.md', 'exec'), variables)
        return variables
    return execute


def test_every_listing_has_about_ten_lines():
    assert sorted(LISTINGS) == sorted(['vsl', 'polygen', 'im-net', '3d-r2n2', 'cmr', 'without'])
    for heading, text in LISTINGS.items():
        lines = [line for line in text.splitlines() if line and 'import' not in line]
        assert len(lines) <= 10 and max(map(len, lines)) <= 120, heading


def test_vsl_encodes_and_decodes(listing):
    variables = listing('vsl', 'vsl', train_vsl)
    assert variables['latent'].shape == (1, 7) and variables['voxels'].sum() > 1000
    assert variables['occupancy'].shape == (30, 30, 30) and os.path.exists('vsl.obj')


def test_a_frozen_graph_runs(listing):
    assert listing('without', 'vsl', train_vsl)['occupancy'].shape[0] == 3


@pytest.mark.slow
def test_polygen_draws(listing):
    samples = listing('polygen', 'polygen', train_polygen)['samples']
    assert [sample.label for sample in samples] == [0, 1] and os.path.exists('polygen.obj')


def test_imnet_encodes_and_extracts(listing):
    variables = listing('im-net', 'imnet', train_imnet)
    assert len(variables['triangles']) > 100 and os.path.exists('imnet.ply')


@pytest.mark.slow
def test_r2n2_reconstructs(listing):
    occupancy = listing('3d-r2n2', 'r2n2', train_r2n2)['occupancy']
    assert [grid.shape for grid in occupancy] == 3 * [(32, 32, 32)]


@pytest.mark.slow
def test_cmr_finds_the_body(listing):
    variables = listing('cmr', 'cmr', train_cmr)
    assert variables['outputs'].vertices.shape == (1, 162, 3) and os.path.exists('cmr.obj')
