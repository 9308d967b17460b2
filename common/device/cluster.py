"""Which machines train together and which of them this is: the variable TF_CONFIG.

Kubeflow's TFJob, SageMaker and Vertex set it by themselves, `python -m common.processes` does for
processes of one machine:

    {"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": {"type": "worker", "index": 1}}
"""
import json
import re
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from common import errors

VARIABLE = 'TF_CONFIG'
_TRAINERS = 'chief', 'master', 'worker'     # in the order of the ranks


class Cluster(NamedTuple):
    """The processes that train together.

    Attributes:
      addresses: strings host:port, in the order of the ranks.
      rank: int, the number of this process among them, from 0.
    """

    addresses: Tuple[str, ...]
    rank: int

    @property
    def local_rank(self) -> int:
        """Returns the number of this process among those of its host, from 0."""
        hosts = [address.rsplit(':', 1)[0] for address in self.addresses]
        return hosts[:self.rank].count(hosts[self.rank])

    def named(self, rank: int) -> str:
        """Returns how messages call a process."""
        return 'rank {} ({})'.format(rank, self.addresses[rank])


def make(addresses: Tuple[str, ...], rank: int) -> str:
    """Returns the TF_CONFIG of a process.

    Args:
      addresses: strings host:port, in the order of the ranks; rank: int, from 0.
    """
    return json.dumps({'cluster': {'worker': list(addresses)},
                       'task': {'type': 'worker', 'index': rank}})


def of(environment: Mapping[str, str]) -> Optional[Cluster]:
    """Reads TF_CONFIG.

    Args:
      environment: variables.
    Returns:
      Cluster, chief or master first; None where the variable names nobody.
    Raises:
      errors.InputError: it is no such JSON, names parameter servers, or this process trains not.
    """
    text = environment.get(VARIABLE, '')
    try:
        config = json.loads(text or '{}')
        jobs = dict(config.get('cluster') or {})
        task = dict(config.get('task') or {})
    except (ValueError, TypeError, AttributeError) as error:
        raise _wrong('is no JSON object with "cluster" and "task": ' + text) from error
    if not any(jobs.get(name) for name in _TRAINERS):
        return None
    if jobs.get('ps'):
        raise _wrong('names parameter servers ("ps"), which nothing here uses. Leave them out')
    places = [(name, number, address) for name in _TRAINERS
              for number, address in enumerate(_listed(jobs, name))]
    own = task.get('type', 'worker'), task.get('index', 0)
    ranks = [rank for rank, (name, number, _) in enumerate(places)
             if (name, str(number)) == (own[0], str(own[1]))]
    if not ranks:
        raise _wrong('has the task {}, which its cluster has not among chief, master and worker'
                     .format(errors.quote(own)))
    return Cluster(tuple(address for _, _, address in places), ranks[0])


def _listed(jobs: Mapping[str, Any], name: str) -> Tuple[str, ...]:
    addresses = jobs.get(name) or []
    if not isinstance(addresses, list) or not all(
            isinstance(address, str) and re.fullmatch(r'\S+:\d{1,5}', address)
            for address in addresses):
        raise _wrong('has no list of "host:port" as "{}": {}'.format(name, errors.quote(addresses)))
    return tuple(addresses)


def _wrong(what: str) -> errors.InputError:
    return errors.InputError('{} {}. Mend it, or train in one process with --distribution none.'
                             .format(VARIABLE, what))
