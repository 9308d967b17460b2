"""How well the code is described: docstrings, shapes of tensors, type hints."""
import ast
import re

import pytest

from common import collection
from tests import test_imports

FOLDERS = collection.NAMES + ('common',)
_SHAPE = re.compile(r'\[[^\]]*\w[^\]]*\]|(any|same|its) shape')
_ARRAYS = re.compile(r'tf\.Tensor|np\.ndarray|\b([Tt]ensor|[Aa]rray)s?\b|'
                     r'\b(float|u?int)(8|32|64)\b|\b(float|int|bool) \[')


def public_functions(text):
    """Yields (node, name) of the public functions and methods of a file, nested ones left out."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith('_'):
            yield node, node.name
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith('_'):
                    yield method, '{}.{}'.format(node.name, method.name)


def described(folder):
    """[(place, node, docstring or None, source of the signature)] of a folder."""
    rows = []
    for path, text in test_imports.sources(folder):
        lines = text.split('\n')
        for node, name in public_functions(text):
            first = node.body[0].lineno
            signature = '\n'.join(lines[node.lineno - 1:first])
            rows.append(('{}:{}'.format(path, name), node, ast.get_docstring(node), signature))
    return rows


def takes_or_gives_a_tensor(docstring, signature):
    """Whether a function's hints or its sections Args and Returns speak of tensors or arrays."""
    head = signature.split('"""')[0]
    return bool(_ARRAYS.search(head) or _ARRAYS.search(docstring or ''))


@pytest.mark.parametrize('folder', FOLDERS)
def test_public_functions_have_docstrings(folder):
    rows = described(folder)
    missing = [place for place, _, docstring, _ in rows if not docstring]
    assert len(rows) > 10 and len(missing) <= 0.05 * len(rows), missing


@pytest.mark.parametrize('folder', FOLDERS)
def test_functions_of_tensors_name_shapes(folder):
    rows = [(place, docstring) for place, _, docstring, signature in described(folder)
            if takes_or_gives_a_tensor(docstring, signature)]
    missing = [place for place, docstring in rows if not _SHAPE.search(docstring or '')]
    assert len(missing) <= 0.2 * len(rows), missing


def test_public_functions_of_common_have_type_hints():
    missing = []
    for place, node, _, _ in described('common'):
        arguments = [argument for argument in node.args.args + node.args.kwonlyargs
                     if argument.arg not in ('self', 'cls')]
        if node.returns is None or any(argument.annotation is None for argument in arguments):
            missing.append(place)
    overrides = {'common/cli.py:Parser'}    # of argparse's methods
    assert [place for place in missing if place.rpartition('.')[0] not in overrides] == []


@pytest.mark.parametrize('text, expected', [
    ('def f(x: tf.Tensor):\n  """Doubles."""', True), ('def f(x):\n  """float32 [B, 3]."""', True),
    ('def f(path):\n  """Reads a file."""', False)])
def test_functions_of_tensors_are_found(text, expected):
    node = ast.parse(text).body[0]
    assert takes_or_gives_a_tensor(ast.get_docstring(node), text.split('\n')[0]) == expected
