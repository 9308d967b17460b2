"""Where the sets lie below --data_path, as the READMEs of original and MindSpore port lay them out.

A set's folder is the first of its places that exists.
"""
import os

MODEL_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHIPPED_BODY = os.path.join(MODEL_DIR, 'data', 'cc0_body')
EXTRAS = 'extras'       # sample files; also `datasets/extras`
ROOTS = {
    'up-3d': ('UP_3D/up-3d', 'up-3d'),
    'upi-s1h': ('UP_3D/upi-s1h', 'upi-s1h'),
    'lsp': ('LSP/lsp_dataset', 'lsp_dataset'),
    'lsp-orig': ('LSP/lsp_dataset_original', 'lsp_dataset_original'),
    'mpii': ('MPII', 'mpii'),
    'coco': ('coco2014', 'coco'),
    'h36m': ('h36m', 'human36m'),
    'h36m-p1': ('h36m', 'human36m'),
    'h36m-p2': ('h36m', 'human36m')}
TRAIN_FILES = {'lsp-orig': 'lsp_dataset_original_train.npz', 'up-3d': 'up_3d_trainval.npz',
               'mpii': 'mpii_train.npz', 'coco': 'coco_2014_train.npz', 'h36m': 'h36m_train.npz'}
TEST_FILES = {'up-3d': 'up_3d_lsp_test.npz', 'lsp': 'lsp_dataset_test.npz',
              'h36m-p1': 'h36m_valid_protocol1.npz', 'h36m-p2': 'h36m_valid_protocol2.npz'}
# What an evaluation compares with, besides the pictures.
TEST_FIELDS = {'up-3d': ('pose', 'shape'), 'lsp': ('maskname', 'partname'), 'h36m-p1': ('S',),
               'h36m-p2': ('S',)}
# Shares of the sets in a mixture, in the order of the draw.
MIXTURES = {'itw': (('lsp-orig', 'coco', 'mpii', 'up-3d'), (0.1, 0.3, 0.3, 0.3)),
            'all': (('h36m', 'lsp-orig', 'coco', 'mpii', 'up-3d'), (0.3, 0.1, 0.2, 0.2, 0.2))}
FOCAL_LENGTH = 5000.
GROUP = 8               # channels that the graph network normalises together


def can_group(channels: float) -> bool:
    """Returns whether so many channels divide into groups."""
    return channels >= GROUP and channels % (channels // GROUP) == 0


def root(data_path: str, name: str) -> str:
    """Returns the folder of a set's pictures; the first place where none exists."""
    places = [os.path.join(data_path, *place.split('/')) for place in ROOTS[name]]
    return next((place for place in places if os.path.isdir(place)), places[0])


def extras(data_path: str) -> str:
    """Returns the folder of the sample files."""
    places = [os.path.join(data_path, EXTRAS), os.path.join(data_path, 'datasets', EXTRAS)]
    return next((place for place in places if os.path.isdir(place)), places[0])
