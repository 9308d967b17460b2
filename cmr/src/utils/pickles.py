"""Pickles of SMPL and GraphCMR: see common.readers.pickles."""
from common.readers.limits import DAMAGE as ARCHIVE_ERRORS  # noqa: F401
from common.readers.pickled import Stub  # noqa: F401
from common.readers.pickles import load, plain  # noqa: F401
