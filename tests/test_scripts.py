"""Every script of the project behaves alike: help, misspelt options, missing data, two steps."""
import importlib
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
import tensorflow.compat.v1 as tf

from common.collection import NAMES as MODELS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOWHERE = 'no/such/folder'
# Script, arguments with a misspelt option at the end (None: the script passes options on), and
# arguments whose data is missing (None: takes no data).
SCRIPTS = [
    ('polygen/train.py', ['--trainin_steps=5'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('polygen/sample.py', ['--num_sample=5'], ['--checkpoint=' + NOWHERE]),
    ('polygen/evaluate.py', ['--num_sample=5'], ['--checkpoint=' + NOWHERE]),
    ('polygen/model_test.py', ['--sead=5'], None),
    ('vsl/vsl_main.py', ['--kl_weigth=1'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('polygen/make_dataset.py', ['--output=x', '--meshe=x'],
     ['--output=x', '--meshes=' + NOWHERE]),
    ('vsl/vsl_imrec.py', ['--data_path=x', '--gama=1'],
     ['--data_path=' + NOWHERE, '--output_path=out']),
    ('vsl/make_dataset.py', ['--output=x.mat', '--meshe=x'],
     ['--output=x.mat', '--meshes=' + NOWHERE]),
    ('vsl/mat2bin.py', ['--data_path=x', '--batchsize=1'],
     ['--output=x', '--data_path=' + NOWHERE]),
    ('vsl/calculate_accuracy.py', ['--codes=x', '--label=1'], ['--codes=x', '--labels=' + NOWHERE]),
    ('r2n2/main.py', ['--evaluat'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('r2n2/demo.py', ['--treshold=0.4'], ['--checkpoint=' + NOWHERE]),
    ('r2n2/tools/make_dataset.py', ['--output=x', '--meshe=x'],
     ['--output=x', '--meshes=' + NOWHERE]),
    ('imnet/train.py', ['--svr_epoch=5'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('imnet/evaluate.py', ['--pictrues=5'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('imnet/make_dataset.py', ['--output=x', '--shape=5'], None),
    ('imnet/IMGAN/main.py', ['--ae', '--real_sise=16'],
     ['--ae', '--data_path=' + NOWHERE, '--output_path=out']),
    ('imnet/IMSVR/main.py', ['--imagge=x'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('imnet/point_sampling/gather_vox.py', ['--input=x', '--output=y', '--worker=2'],
     ['--input=' + NOWHERE, '--output=y']),
    ('imnet/point_sampling/gather_img.py', ['--input=x', '--output=y', '--categori=z'],
     ['--input=' + NOWHERE, '--output=y']),
    ('imnet/point_sampling/gather_all.py', ['--input=x', '--datset=y'], ['--input=' + NOWHERE]),
    ('cmr/train.py', ['--num_epoch=5'], ['--data_path=' + NOWHERE, '--output_path=out']),
    ('cmr/eval.py', ['--dataset=up-3d', '--log_frek=5'], ['--checkpoint=' + NOWHERE]),
    ('cmr/demo.py', ['--img=x.jpg', '--bboks=x'], ['--img=x.jpg', '--checkpoint=' + NOWHERE]),
    ('cmr/preprocess.py', ['--data_path=x', '--chek=1'],
     ['--train_files', '--data_path=' + NOWHERE]),
    ('cmr/make_dataset.py', ['--output=x', '--num_trains=1'], ['--output=x', '--body=' + NOWHERE]),
    ('cmr/make_template.py', ['--output=x.npz', '--level=1'],
     ['--output=x.npz', '--body=' + NOWHERE]),
    ('cmr/src/utils/pth2ckpt.py', ['--pth-pat=x'], ['--pth-path=' + NOWHERE]),
    ('boot_modelarts.py', None,
     ['--model=vsl', '--data_url=file:///' + NOWHERE, '--modelarts_data_dir=x',
      '--train_url=out']),
    ('help_modelarts.py', ['data', '--data_url=x', '--modelarts_data_di=y'],
     ['data', '--data_url=' + NOWHERE, '--modelarts_data_dir=y']),
    ('common/frozen/__main__.py', ['list', 'x.pb', '--outputs=y'], ['list', NOWHERE + '/x.pb']),
    ('common/deploy.py', ['x', 'y', '--cosin=1'], [NOWHERE, 'y']),
    ('common/launch_tables.py', ['--chek'], None),
    ('common/npu_lint.py', ['x.pb', '--fetch=y'], [NOWHERE + '/x.pb']),
    ('common/precision.py', ['report', 'x', '--step=3'], ['report', NOWHERE]),
    ('common/pretrained.py', ['--model=vsl', '--output_path=x', '--chekpoint=y'],
     ['--model=vsl', '--output=out', '--output_path=' + NOWHERE]),
    ('common/rank_table.py', ['--server=x', '--device_ips=y', '--output=z', '--first_devise=4'],
     None),
    ('common/processes.py', ['x.py', '--cont=2'], None),
    ('examples/polygen_sample.py', ['0', '--sead=1'], ['0', '--graphs=' + NOWHERE]),
    ('examples/vsl_reconstruct.py', ['x.obj', '--graph=y'], [NOWHERE + '/x.obj']),
    ('examples/r2n2_reconstruct.py', ['x.png', '--treshold=1'],
     ['x.png', '--graph=' + NOWHERE + '/x.pb']),
    ('examples/imnet_reconstruct.py', ['x.png', '--graph=y'], [NOWHERE + '/x.png']),
    ('examples/cmr_body.py', ['x.jpg', '--boddy=y'], ['x.jpg', '--graphs=' + NOWHERE]),
    ('examples/web_demo.py', ['--prt=1'], None),
    ('tests/fuzz.py', ['--case=1'], None),
    ('tests/kill.py', ['--model=toy', '--kill=1'], None),
    ('tests/golden.py', ['--pat=cpu'], [NOWHERE]),
    ('tests/mutations.py', ['--onli=vsl'], None),
    ('tests/pretrained.py', ['--model=vsl', '--rebuid'],
     ['--model=vsl', '--weights=' + NOWHERE]),
    ('tests/imnet/own_meshes.py', ['--folder=x', '--epoch=1'], None),
    ('tests/picture_row.py', ['--outputt=x'], None),
    ('tests/real_pictures.py', ['--multivew=x'], None),
    ('tests/results.py', ['--model=vsl', '--datta=x'], None),
    ('tests/strange_pictures.py', ['--multivew=x'], None),
    ('tests/trial.py', ['--part=vsl'], None),
    ('tests/vsl/modelnet.py', ['--evry=1'], None),
    ('tests/benchmarks/__main__.py', ['--recort'], None),
    ('tests/benchmarks/cmr_step.py', ['--thread=1'], None),
    ('tests/benchmarks/growth.py', ['--thread=1'], None),
    ('tests/benchmarks/imnet_extraction.py', ['--row=1'], ['--checkpoint=' + NOWHERE]),
    ('tests/benchmarks/imnet_sampling.py', ['--repetition=1'], None),
    ('tests/benchmarks/imnet_step.py', ['--thread=1'], None),
    ('tests/benchmarks/loaders.py', ['--batch=1'], None),
    ('tests/benchmarks/peer_rows.py', ['--thread=1'], None),
    ('tests/benchmarks/polygen_conditions.py', ['--thread=1'], None),
    ('tests/benchmarks/polygen_large.py', ['--thread=1'], None),
    ('tests/benchmarks/polygen_sampling.py', ['--thread=1'], None),
    ('tests/benchmarks/polygen_step.py', ['--thread=1'], None),
    ('tests/benchmarks/r2n2_step.py', ['--thread=1'], None),
    ('tests/benchmarks/scaling.py', ['--step=6'], None),
    ('tests/benchmarks/startup.py', ['--thread=1'], None),
    ('tests/benchmarks/vsl_step.py', ['--thread=1'], None),
] + [('freeze_graph.py', ['--model=' + model, '--out=x'],
      ['--model=' + model, '--output=x', '--checkpoint=' + NOWHERE])
     for model in MODELS]
# Parts of the tests of common/training/runs.py and of tests/benchmarks/peer_rows.py.
NO_SCRIPTS = {'tests/common/toy_training.py', 'tests/benchmarks/peers/serve.py',
              'tests/benchmarks/serve.py'}


def _names():
    return [script + ''.join(argument[len('--model'):] for argument in misspelt or ()
                             if script == 'freeze_graph.py' and argument.startswith('--model'))
            for script, misspelt, _ in SCRIPTS]
SHELL_SCRIPTS = ['setup.sh', 'tests/run.sh', 'polygen/test/model_test.sh'] + [
    '{}/test/train_{}_1p.sh'.format(model, kind)
    for model in MODELS for kind in ('full', 'performance')] + [
        'cmr/scripts/{}.sh'.format(name)
        for name in ('convert_resnet', 'generate_dataset', 'run_distributed_train_gpu',
                     'run_eval_gpu', 'run_standalone_train_gpu')]


def _module(script):
    return script[:-len('.py')].replace('/', '.')


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """Runs a script's main in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(str(tmp_path))
    handlers = {number: signal.getsignal(number)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run(script, arguments):
        tf.reset_default_graph()
        monkeypatch.setattr(sys, 'argv', [script])
        try:
            code = importlib.import_module(_module(script)).main(arguments)
        except SystemExit as stop:      # the parser's way out
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    for number, action in handlers.items():
        signal.signal(number, action)


def _subprocess(script, arguments, folder):
    command = [os.path.join(ROOT, script)]
    if script.startswith('tests/'):     # those run as modules, from the root
        command, folder = ['-m', _module(script)], ROOT
    done = subprocess.run([sys.executable] + command + arguments, cwd=str(folder),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_table_has_every_script():
    scripts = set()
    for place, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith('.') and name != 'output']
        for name in names:
            path = os.path.join(place, name)
            if name.endswith('.py') and path != os.path.abspath(__file__):
                with open(path, encoding='utf-8') as stream:
                    if re.search(r"^if __name__ == '__main__'", stream.read(), re.M):
                        scripts.add(os.path.relpath(path, ROOT))
    assert scripts == {script for script, _, _ in SCRIPTS} | NO_SCRIPTS


@pytest.mark.parametrize('script, misspelt, missing', SCRIPTS, ids=_names())
def test_script_helps_and_refuses_alike(script, misspelt, missing, call, tmp_path):
    program = os.path.basename(script)
    code, out, err = call(script, (misspelt or [])[:-1] + ['--help'])
    assert (code, err) == (0, '') and out.startswith('usage: {} [options]'.format(program))
    assert '--debug' in out and re.search(r'^Examples?:', out, re.MULTILINE)
    if misspelt is not None:
        code, out, err = call(script, misspelt)
        assert (code, out) == (2, '')
        assert re.fullmatch(r'{0}: error: unknown option {1}; did you mean --[\w-]+\? '
                            r'\({0} --help lists the options\)\n'.format(
                                re.escape(program), misspelt[-1].split('=')[0]), err)
    if missing is not None:
        code, _, err = call(script, missing)
        assert code == 1 and re.fullmatch(r'error: [^\n]*{}[^\n]*\.\n'.format(NOWHERE), err)
        assert 'Error:' not in err      # the name of an exception that nothing has explained
    left = [name for _, _, names in os.walk(str(tmp_path)) for name in names]
    assert left == []


@pytest.mark.parametrize('script', [
    pytest.param(script, marks=() if script == 'help_modelarts.py' else pytest.mark.slow)
    for script in sorted({script for script, _, _ in SCRIPTS})])
def test_script_starts_from_any_folder(script, tmp_path):
    code, out, err = _subprocess(script, ['--help'], tmp_path)
    assert code == 0 and out.startswith('usage: ') and 'Traceback' not in err


@pytest.mark.parametrize('script, arguments', [
    pytest.param(script, missing or [], marks=() if script in (
        'vsl/make_dataset.py', 'examples/vsl_reconstruct.py', 'r2n2/main.py') else pytest.mark.slow)
    for script, _, missing in SCRIPTS
    if not script.startswith('tests/') and script not in (
        'freeze_graph.py', 'common/launch_tables.py')])
def test_an_interrupt_while_a_script_starts_ends_it_in_one_line(script, arguments, tmp_path):
    """NumPy is the first of the packages that take time, whoever imports it."""
    program = '\n'.join([
        'import os, runpy, signal, sys',
        'class Finder:',
        '    def find_spec(self, name, *unused):',
        '        if name == "numpy":',
        '            os.kill(os.getpid(), signal.SIGINT)',
        'sys.meta_path.insert(0, Finder())',
        'sys.argv = sys.argv[1:]',
        'runpy.run_path(sys.argv[0], run_name="__main__")'])
    done = subprocess.run([sys.executable, '-c', program, os.path.join(ROOT, script)] + arguments,
                          cwd=str(tmp_path), env=dict(os.environ, PYTHONPATH=ROOT),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    lines = done.stderr.splitlines()
    if lines == ['stopped at once; what was saved before is whole']:
        assert done.returncode == 130
    else:       # it ended without NumPy, for its arguments
        assert done.returncode in (1, 2) and len(lines) <= 2 and 'Traceback' not in done.stderr


@pytest.mark.parametrize('script', SHELL_SCRIPTS)
def test_shell_script_helps_and_refuses_alike(script, tmp_path):
    def run(argument):
        done = subprocess.run(['bash', os.path.join(ROOT, script), argument], cwd=str(tmp_path),
                              env=dict(os.environ, PYTHON=sys.executable), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    code, out, _ = run('--help')
    stem = os.path.splitext(os.path.basename(script))[0]
    assert code == 0 and re.search(r'(bash|usage:) (\S+/)?{}'.format(stem), out)
    if script != 'tests/run.sh':    # passes options on to pytest
        code, out, err = run('--no_such_option=1')
        assert code == 2 and out == '' and '--no_such_option' in err.splitlines()[-1]


def _polygen(folder):
    from tests.polygen import tiny
    return ['--data_path=' + tiny.write_solids(folder)] + tiny.OPTIONS


def _vsl(folder):
    return ['--batch_size=1', '--stages=train', '--print_step=0', '--report_every=1']


def _vsl_images(folder):
    import numpy as np

    from vsl import data_utils, make_dataset
    splits, names = make_dataset.make_furniture(0, 1, 1)
    splits = {name: split._replace(images=np.zeros([len(names), 100, 100, 3], np.uint8))
              for name, split in splits.items()}
    data_utils.write(str(folder / 'set.mat'), splits, names)
    return ['--data_path={}'.format(folder / 'set.mat'), '--stages=train', '--batch_size=1',
            '--report_every=1']


def _r2n2(folder):
    from tests.r2n2 import tiny
    return ['--data_path=' + tiny.make_data(folder), '--batch_size=2', '--workers=1',
            '--report_every=1', '--set'] + tiny.SET


def _imnet(folder):
    from tests.imnet import tiny
    return ['--ae', '--train', '--real_size=16', '--batch_size_input=60', '--report_every=1',
            '--data_path=' + tiny.write(str(folder))] + tiny.SIZES


def _cmr(folder):
    from tests.cmr import tiny
    body = tiny.make_body(folder / 'body')
    return ['--data_path=' + tiny.make_set(folder / 'set', body), '--body=' + body,
            '--dataset=up-3d', '--batch_size=4', '--num_workers=1',
            '--report_every=1'] + tiny.NETWORK


# Training script, and what gives its options for a tiny run: function of a folder for the data.
TRAININGS = [
    ('polygen/train.py', _polygen), ('vsl/vsl_main.py', _vsl), ('vsl/vsl_imrec.py', _vsl_images),
    ('r2n2/main.py', _r2n2), ('imnet/IMGAN/main.py', _imnet), ('cmr/train.py', _cmr)]


@pytest.mark.slow
@pytest.mark.parametrize('script, options', TRAININGS,
                         ids=lambda value: value if isinstance(value, str) else '')
def test_two_steps_leave_the_same_lines_and_files_in_every_model(script, options, call, tmp_path):
    (tmp_path / 'data').mkdir()
    run = ['--output_path=out', '--training_steps=2', '--device=cpu', '--threads=1']
    arguments = run + options(tmp_path / 'data')
    for begins in ('starts at step 0', 'goes on from step 2'):
        code, out, err = call(script, arguments)
        assert code == 0, err
        first = [line for line in out.splitlines() if ' parameters; ' in line]
        assert len(first) == 1
        # IM-NET's three networks have a folder each.
        assert re.fullmatch(r'\S.*; [\d,]+ parameters; cpu \(float32\); output in out(/ae)?; '
                            + begins, first[0])
        if begins.startswith('starts'):
            assert re.search(r'^step 2/2  100.0%(  \w+ [\d.e+-]+)+  [\d.]+ s/step', out, re.M)
    written = {name for _, folders, names in os.walk('out') for name in folders + names}
    assert {'config.json', 'metrics.jsonl', 'checkpoints'} <= written
    assert set(os.listdir(str(tmp_path))) == {'data', 'out'}


@pytest.mark.slow
def test_smoke_test_passes(tmp_path):
    code, out, err = _subprocess('polygen/model_test.py', [], tmp_path)
    assert code == 0 and out.count('ok  ') == 5, err


def _documents():
    """READMEs, and what lies in docs/ and its folders; paths from the root."""
    places = ['', *MODELS, 'docs'] + [os.path.join('docs', model) for model in MODELS]
    return [os.path.join(place, name) for place in places
            for name in sorted(os.listdir(os.path.join(ROOT, place)))
            if name.endswith('.md') and (place or name != 'CHANGELOG.md')]


_DOCUMENTS = _documents()


@pytest.mark.parametrize('name', _DOCUMENTS)
def test_no_placeholder_is_left_in_a_document(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as stream:
        assert re.findall(r'@\w+@', stream.read()) == []


@pytest.mark.parametrize('name', _DOCUMENTS)
def test_links_of_a_document_lead_to_files(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as stream:
        links = re.findall(r'\]\(([^)]+)\)', stream.read())
    folder = os.path.join(ROOT, os.path.dirname(name))
    assert [link for link in links if '://' not in link and not link.startswith('#')
            and not os.path.exists(os.path.join(folder, link.split('#')[0]))] == []
    assert links


def _shown_commands():
    """(where, script, its arguments) of the command lines in docstrings and documents."""
    texts = [(script, importlib.import_module(_module(script)).__doc__)
             for script in sorted({script for script, _, _ in SCRIPTS})]
    for name in _DOCUMENTS:     # test_adding_a_model.py runs the commands of its document
        if name != os.path.join('docs', 'adding_a_model.md'):
            with open(os.path.join(ROOT, name), encoding='utf-8') as stream:
                texts.append((name, stream.read()))
    line = re.compile(r'^ *(?:Examples?: )?\$?python (-m )?([\w/.]+)(( [^\n]*)?(\n +--[^\n]*)*)',
                      re.MULTILINE)
    scripts = {script for script, _, _ in SCRIPTS}
    for where, text in texts:
        for module, script, arguments, *_ in line.findall(text.replace('\\\n', ' ')):
            if module:
                script = script.replace('.', '/') + '.py'
            arguments = re.split(r' #', arguments)[0]   # what stands behind it is a remark
            if script in scripts and '...' not in arguments:
                yield where, script, shlex.split(arguments)


def test_commands_that_docstrings_and_readmes_show_have_known_options(capsys):
    wrong, count = [], 0
    for where, script, arguments in _shown_commands():
        parse = getattr(importlib.import_module(_module(script)), 'parse_args', None)
        try:
            count += parse is not None and bool(parse(arguments))
        except SystemExit as stop:
            if stop.code:
                wrong.append((where, script, arguments, capsys.readouterr().err))
    assert wrong == [] and count > 100


@pytest.mark.parametrize('script', [
    'polygen/train.py', 'vsl/vsl_main.py', 'vsl/vsl_imrec.py', 'r2n2/main.py', 'imnet/train.py',
    'imnet/IMGAN/main.py', 'imnet/IMSVR/main.py', 'cmr/train.py'])
def test_scripts_that_train_share_their_options(script, call):
    _, out, _ = call(script, ['--help_all'])    # further names too
    for names in ('--data_path', '--output_path', '--device', '--precision_mode', '--seed',
                  '--training_steps --train_steps --training-steps', '--batch_size',
                  '--learning_rate', '--checkpoint --ckpt_path', '--resume --noresume', '--threads',
                  '--save_every', '--report_every', '--debug'):
        for name in names.split():
            assert re.search(r'(?<![\w-]){}(?![\w-])'.format(name), out), name
