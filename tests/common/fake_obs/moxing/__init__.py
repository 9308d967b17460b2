"""Test double of moxing: a folder, FAKE_OBS_ROOT, stands for all buckets.

FAKE_OBS_FAULT makes it fail: `every_other` (each second call), `always`, `hang` (every transfer),
`hang_once`, `truncate` (every copy is cut short), `truncate_once`, `full` (the local disk),
`leak` (an error that quotes a credential), `traversal` (the listing leads out). FAKE_OBS_LOG names
a file that gets the name of each function called.
"""
from moxing import file  # noqa: F401  # moxing.file is how it is used
