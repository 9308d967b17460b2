"""Files that change how CANN compiles a graph: lists of mixed precision, switches of fusion passes.

Read and checked here as CANN's engine does, which would end the process when the session opens.
Operators are types of its graph engine (MatMulV2, ReduceSumD), not TensorFlow's, not nodes.
"""
import re
from typing import Any, Dict, List, NamedTuple, Tuple

from common import errors
from common.readers import text

LISTS = {'black-list': 'black', 'white-list': 'white', 'gray-list': 'grey'}
_CHANGES = ('to-add', 'to-remove')
_LEVELS = ('GraphFusion', 'UBFusion')
# In the place of strings, which may hold // themselves, and of comments.
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_REMEDY = ('Give {"black-list": {"to-add": [...], "to-remove": [...]}, "white-list": ..., '
           '"gray-list": ...} with operators of CANN.')
_SWITCH_REMEDY = ('Give {"Switch": {"GraphFusion": {"<pass>": "on" or "off"}, "UBFusion": '
                  '{...}}}; "ALL" means all passes.')


class Mixlist(NamedTuple):
    """Changes of the lists of mixed precision.

    Attributes:
      to_add, to_remove: {'black', 'white' or 'grey': operators}.
    """

    to_add: Dict[str, Tuple[str, ...]]
    to_remove: Dict[str, Tuple[str, ...]]

    def list_of(self, operator: str, default: str) -> str:
        """Returns the list, 'black', 'white' or 'grey', of an operator that is on `default`."""
        for name, operators in self.to_add.items():
            if operator in operators:
                return name
        return 'grey' if operator in self.to_remove.get(default, ()) else default


def cleaned(path: str, option: str = 'a JSON file', remedy: str = _REMEDY) -> Tuple[str, str]:
    """Reads JSON as CANN's parser of today takes it: UTF-8, without comments.

    Args:
      path: str; option: str, what it should be, and remedy: str, for messages.
    Returns:
      (str, the text; str, what the file has that the parser refuses, '' if nothing).
    Raises:
      errors.InputError: the file is missing, empty or no text.
    """
    with_comments = text.read(path, option, remedy)
    plain = _COMMENT.sub(lambda match: match.group(1) or ' ', with_comments)
    if plain != with_comments:
        return plain, 'comments'
    with open(path, 'rb') as stream:
        return plain, '' if stream.read() == plain.encode('utf-8') else 'a byte order mark'


def read_mixlist(path: str) -> Mixlist:
    """Reads a file of --modify_mixlist.

    Comments (// and /* */) are left out, as older samples have them.

    Raises:
      errors.InputError: it cannot be read, or says what CANN refuses: another key or kind of
        value, or a combination of changes of one operator.
    """
    lists = _object(_value(path, 'lists of mixed precision', _REMEDY), path, '', LISTS, _REMEDY)
    changes: Dict[str, Dict[str, Tuple[str, ...]]] = {change: {} for change in _CHANGES}
    for key, value in lists.items():
        for change, operators in _object(value, path, key, _CHANGES, _REMEDY).items():
            if not isinstance(operators, list) or not all(
                    isinstance(one, str) and one for one in operators):
                raise _wrong(path, '"{}" of "{}" is {}, no list of operators'.format(
                    change, key, errors.quote(operators)), _REMEDY)
            changes[change][LISTS[key]] = tuple(operators)
    mixlist = Mixlist(changes['to-add'], changes['to-remove'])
    _check_combinations(mixlist, path)
    return mixlist


def read_fusion_switch(path: str) -> Dict[str, Dict[str, bool]]:
    """Reads a file of --fusion_switch_file.

    Returns:
      {'GraphFusion' or 'UBFusion': {pass, or 'ALL': whether it is on}}; a pass wins over 'ALL'.
    Raises:
      errors.InputError: it cannot be read, or has another key or kind of value.
    """
    what = 'switches of fusion passes'
    top = _object(_value(path, what, _SWITCH_REMEDY), path, '', ('Switch',), _SWITCH_REMEDY)
    if 'Switch' not in top:
        raise _wrong(path, 'has no "Switch"', _SWITCH_REMEDY)
    levels = _object(top['Switch'], path, 'Switch', _LEVELS, _SWITCH_REMEDY)
    switches: Dict[str, Dict[str, bool]] = {}
    for level, passes in levels.items():
        for name, value in _object(passes, path, level, None, _SWITCH_REMEDY).items():
            if value not in ('on', 'off'):
                raise _wrong(path, '"{}" of "{}" is {}, neither "on" nor "off"'.format(
                    errors.quote(name), level, errors.quote(value)), _SWITCH_REMEDY)
        switches[level] = {name: value == 'on' for name, value in passes.items()}
    return switches


READERS = {'modify_mixlist': read_mixlist, 'fusion_switch_file': read_fusion_switch}


def _value(path, what, remedy):
    return text.parsed_json(cleaned(path, what, remedy)[0], path, what, remedy)


def _wrong(path, what, remedy):
    return errors.InputError('{}: {}. {}'.format(path, what, remedy))


def _object(value: Any, path: str, key: str, known: Any, remedy: str) -> Dict[str, Any]:
    """Returns a JSON object whose keys are all known; `known` None takes any."""
    place = '"{}"'.format(key) if key else 'the file'
    if not isinstance(value, dict):
        raise _wrong(path, '{} is {}, no JSON object'.format(place, errors.quote(value)), remedy)
    unknown = [one for one in value if known is not None and one not in known]
    if unknown:
        raise _wrong(path, '{} has the unknown key "{}"'.format(place, errors.quote(unknown[0])),
                     remedy)
    return value


def _check_combinations(mixlist, path):
    """Refuses what CANN refuses: each operator may leave one list, and enter another one."""
    changes: Dict[str, Tuple[List[str], List[str]]] = {}
    for number, lists in enumerate((mixlist.to_add, mixlist.to_remove)):
        for name, operators in lists.items():
            for operator in dict.fromkeys(operators):
                changes.setdefault(operator, ([], []))[number].append(name)
    for operator, (added, removed) in changes.items():
        if len(added) > 1:
            wrong = 'is added to the {} list and the {} list'.format(*added[:2])
        elif len(removed) > 1:
            wrong = 'is removed from the {} list and the {} list'.format(*removed[:2])
        elif added == removed:
            wrong = 'is added to the {} list and removed from it'.format(added[0])
        elif not added and removed == ['grey']:
            wrong = 'is removed from the grey list but added to none'
        else:
            continue
        raise errors.InputError('{}: the operator {} {}, which CANN refuses. Let it enter one '
                                'list, and leave one other at most.'.format(
                                    path, errors.quote(operator), wrong))
