"""Small changes of a file's syntax tree, as slips of a hand would make them, for tests.mutations.

A mutant is told by its file, its function, what it changes, and its number among equals, so that it
keeps its name while other lines move.
"""
import ast
import collections

Mutant = collections.namedtuple('Mutant', 'path function entry first_line line change number apply')
Mutant.__doc__ = """One change.

path: from the root; function: name with its class, '' at the top; entry: the outermost function
around it; first_line: of that one as its code object has it, 0 at the top; line: where it is;
change: what is changed; number: among those of the same path, function and change;
apply: changes the tree that it was found in."""

_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
              ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift,
              ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
_COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
                ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
_FUNCTIONS = {'reduce_mean': 'reduce_sum', 'reduce_sum': 'reduce_mean', 'reduce_max': 'reduce_min',
              'reduce_min': 'reduce_max', 'mean': 'sum', 'sum': 'mean', 'max': 'min', 'min': 'max',
              'maximum': 'minimum', 'minimum': 'maximum', 'floor': 'ceil', 'ceil': 'floor',
              'zeros': 'ones', 'ones': 'zeros', 'zeros_like': 'ones_like', 'argmax': 'argmin',
              'argmin': 'argmax', 'sin': 'cos', 'cos': 'sin', 'any': 'all', 'all': 'any'}
_DROPPED = ('abs', 'square', 'sqrt', 'exp', 'log', 'relu', 'sigmoid', 'tanh', 'round', 'rint',
            'clip', 'clip_by_value', 'stop_gradient', 'unique', 'sorted')
# Whose arguments may change places, or are names.
_SYMMETRIC = ('isinstance', 'getattr', 'hasattr', 'zip', 'max', 'min', 'maximum', 'minimum', 'add',
              'multiply', 'join')
# Where a change is one of words, of checks of types, or of no meaning.
_LEFT_ALONE = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)
_WORDS = ('format', 'quote', 'listed', 'say', 'warn', 'telling', 'InputError', 'UsageError',
          'namedtuple', 'NamedTuple', 'name_scope', 'variable_scope', 'get_logger')
_KEYWORDS = ('name', 'help', 'what', 'remedy', 'doc', 'scope', 'dpi', 'figsize')


def value_of(node):
    """The value of a constant in a tree, or None; ast.Num until Python 3.7, ast.Constant later."""
    kind = type(node).__name__
    if kind == 'Num':
        return node.n
    return node.value if kind in ('NameConstant', 'Constant') else None


def _put(node, value):
    setattr(node, 'n' if type(node).__name__ == 'Num' else 'value', value)


def _other(value):
    """Another constant of the same kind, or None."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 2 if value < 0.1 else (1 + value) / 2 if value < 1 else value + 1
    return None


def _short(node):
    """A word or two for an operand."""
    value = value_of(node)
    if value is not None:
        return repr(value)
    return {'Name': lambda: node.id, 'Attribute': lambda: node.attr,
            'Call': lambda: _short(node.func) + '()',
            'Subscript': lambda: _short(node.value) + '[]',
            'UnaryOp': lambda: '-' + _short(node.operand)}.get(
                type(node).__name__, lambda: '({})'.format(type(node).__name__))()


def _is_text(node):
    return type(node).__name__ in ('Str', 'JoinedStr', 'List', 'Tuple') or isinstance(
        value_of(node), (str, bytes))


def _changes(node, replace):
    """Yields (text, function that makes the change) for one node.

    Args:
      node: ast.AST; replace: function that puts another node in its place.
    """
    value = value_of(node)
    if _other(value) is not None and type(value) in (bool, int, float):
        yield '{!r} -> {!r}'.format(value, _other(value)), lambda: _put(node, _other(value))
    if value is None and type(node).__name__ == 'Str':
        value = node.s
    if value in ('SAME', 'VALID'):
        other = 'VALID' if value == 'SAME' else 'SAME'
        field = 's' if hasattr(node, 's') and type(node).__name__ == 'Str' else 'value'
        yield '{} -> {}'.format(value, other), lambda: setattr(node, field, other)
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
        other = _OPERATORS.get(type(node.op))
        if other and not any(map(_is_text, sides)):
            text = ' '.join(map(_short, sides))
            yield ('{} -> {} of {}'.format(type(node.op).__name__, other.__name__, text),
                   lambda: setattr(node, 'op', other()))
            if isinstance(node, ast.BinOp):
                yield ('{} {} is dropped'.format(type(node.op).__name__, _short(node.right)),
                       lambda: replace(node.left))
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        other = _COMPARISONS[type(node.ops[0])]
        yield ('{} -> {} of {} {}'.format(type(node.ops[0]).__name__, other.__name__,
                                          _short(node.left), _short(node.comparators[0])),
               lambda: node.ops.__setitem__(0, other()))
    if isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield ('{} -> {}'.format(type(node.op).__name__, other.__name__),
               lambda: setattr(node, 'op', other()))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield ('{} of {} is dropped'.format(type(node.op).__name__, _short(node.operand)),
               lambda: replace(node.operand))
    if isinstance(node, ast.Call):
        yield from _changes_of_call(node, replace)
    if isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Load) and \
            len(node.elts) > 1 and not any(map(_is_text, node.elts[:2])) and \
            ast.dump(node.elts[0]) != ast.dump(node.elts[1]):
        yield ('{} and {} change places'.format(*map(_short, node.elts[:2])),
               lambda: node.elts.__setitem__(slice(0, 2), node.elts[1::-1]))


def _changes_of_call(node, replace):
    name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
    if name in _FUNCTIONS:
        field = 'attr' if hasattr(node.func, 'attr') else 'id'
        yield ('{} -> {}'.format(name, _FUNCTIONS[name]),
               lambda: setattr(node.func, field, _FUNCTIONS[name]))
    if name in _DROPPED and node.args:
        yield '{}() is dropped'.format(name), lambda: replace(node.args[0])
    if len(node.args) > 1 and name not in _SYMMETRIC and \
            not any(isinstance(one, ast.Starred) or _is_text(one) for one in node.args[:2]) and \
            ast.dump(node.args[0]) != ast.dump(node.args[1]):
        yield ('{}(): {} and {} change places'.format(name, *map(_short, node.args[:2])),
               lambda: node.args.__setitem__(slice(0, 2), node.args[1::-1]))


def _children(node):
    """Yields (child, function that replaces it), leaving out what is not code that computes."""
    left_out = {'annotation', 'returns', 'decorator_list', 'bases', 'type_comment'}
    for field, value in ast.iter_fields(node):
        if field in left_out:
            continue
        if isinstance(value, ast.AST):
            yield value, lambda new, field=field: setattr(node, field, new)
        elif isinstance(value, list):
            for place, one in enumerate(value):
                if isinstance(one, ast.AST):
                    yield one, lambda new, value=value, place=place: value.__setitem__(place, new)


def _is_left_alone(node):
    if isinstance(node, _LEFT_ALONE) or isinstance(node, ast.Expr) and _is_text(node.value):
        return True
    if isinstance(node, ast.keyword) and node.arg in _KEYWORDS:
        return True
    called = getattr(node, 'func', None)
    return getattr(called, 'attr', getattr(called, 'id', '')) in _WORDS


def mutants(tree, path):
    """All mutants of a file, in the order of its lines.

    Args:
      tree: ast.Module, which `apply` changes; path: str.
    Returns:
      list of Mutant.
    """
    found, counts = [], collections.Counter()

    def visit(node, replace, function, entry, first_line):
        if _is_left_alone(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            function = '.'.join(filter(None, [function, node.name]))
            if isinstance(node, ast.FunctionDef) and not first_line:
                entry, first_line = function, min(
                    [node.lineno] + [one.lineno for one in node.decorator_list])
        for change, apply in _changes(node, replace):
            number = counts[function, change]
            counts[function, change] += 1
            found.append(Mutant(path, function, entry, first_line, node.lineno, change, number,
                                apply))
        for child, put in _children(node):
            visit(child, put, function, entry, first_line)

    for statement, put in _children(tree):
        if not (isinstance(statement, ast.If) and '__main__' in ast.dump(statement.test)):
            visit(statement, put, '', '', 0)
    return found


def key_of(mutant):
    """The name of a mutant, as the tables have it."""
    name = '{}: {}: {}'.format(mutant.path, mutant.function or '(top)', mutant.change)
    return '{} #{}'.format(name, mutant.number + 1) if mutant.number else name
