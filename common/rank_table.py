"""Writes the rank table of HCCL for the devices of one machine.

Example: python -m common.rank_table --server=host-a --device_ips=192.0.2.1,192.0.2.2
         --output=rank_table.json
"""
import argparse
import ipaddress
import os
import sys
from typing import Optional, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import errors, files
from common.device import rank_table


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--server', required=True, help='id or IP of the machine')
    parser.add_argument('--device_ips', required=True,
                        help='IPs of its devices, with commas between them, from the first device '
                             'on (hccn_tool -i <n> -ip -g shows each)')
    parser.add_argument('--first_device', type=cli.non_negative_int, default=0,
                        help='number of the first device; 4 for the second ring')
    parser.add_argument('--output', required=True, help='file to write')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def write(options: argparse.Namespace) -> None:
    """Writes the table of one machine."""
    addresses = options.device_ips.split(',')
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise errors.UsageError('--device_ips: {}.'.format(error)) from error
    devices = {options.first_device + number: address
               for number, address in enumerate(addresses)}
    table = rank_table.make([(options.server, devices)])
    files.write_json(options.output, table)
    print('{}: {} ranks; start a process for each with RANK_TABLE_FILE, RANK_SIZE={}, RANK_ID and '
          'ASCEND_DEVICE_ID'.format(options.output, len(addresses), len(addresses)))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(write, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)
