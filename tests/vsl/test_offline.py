"""Tests of mat2bin.py and calculate_accuracy.py: batches out, codes back, their own labels."""
import numpy as np
import pytest

from vsl import calculate_accuracy, data_utils, make_dataset, mat2bin


@pytest.fixture
def folders(tmp_path):
    """A set of 20 and 10 shapes in batches of 6; "codes" that tell the classes apart."""
    splits, names = make_dataset.make_furniture(0, 2, 1)
    data_utils.write(str(tmp_path / 'set.mat'), splits, names)
    assert mat2bin.main(['--data_path', str(tmp_path / 'set.mat'), '--output',
                         str(tmp_path / 'bins'), '--batch_size=6']) == 0
    (tmp_path / 'codes').mkdir()
    for split, count in (('train', 4), ('test', 2)):
        for number in range(count):
            rows = np.minimum(np.arange(6 * number, 6 * number + 6), len(splits[split].labels) - 1)
            codes = 10 * np.eye(10, dtype=np.float32)[splits[split].labels[rows] - 1]
            np.savetxt(str(tmp_path / 'codes' / '{}_{:04d}_output_0.txt'.format(split, number)),
                       codes)
    return tmp_path, splits


def call(folder, *more):
    return calculate_accuracy.main(['--labels', str(folder / 'bins'), '--codes',
                                    str(folder / 'codes')] + list(more))


def test_of_several_sets_in_a_folder_that_of_modelnet10_is_written(tmp_path):
    splits, names = make_dataset.make_furniture(0, 1, 1)
    data_utils.write(str(tmp_path / 'ModelNet10_res30_raw.mat'), splits, names)
    (tmp_path / 'ModelNet40_res30_raw.mat').write_bytes(b'another')
    assert mat2bin.main(['--data_path', str(tmp_path), '--output', str(tmp_path / 'bins')]) == 0
    assert (tmp_path / 'bins' / 'train_0000.bin').exists()


def test_batches_are_raw_float32_and_the_last_one_is_filled_up(folders):
    folder, splits = folders
    batches = [np.fromfile(str(path), np.float32).reshape(6, -1)
               for path in sorted((folder / 'bins').glob('train_*.bin'))]
    assert len(batches) == 4
    np.testing.assert_array_equal(np.concatenate(batches)[:20], splits['train'].voxels)
    np.testing.assert_array_equal(batches[3][2:], splits['train'].voxels[[19] * 4])


def test_codes_are_classified_with_the_labels_of_their_own_rows(folders, capsys):
    folder, _ = folders
    assert call(folder) == 0
    assert 'Shape classification: train: 1.0000, test: 1.0000' in capsys.readouterr().out
    for path in (folder / 'codes').glob('*.txt'):
        np.loadtxt(str(path)).astype(np.float32).tofile(str(path)[:-3] + 'bin')
        path.unlink()
    assert call(folder, '--latent_size=10') == 0
    assert 'test: 1.0000' in capsys.readouterr().out


def test_missing_or_foreign_codes_are_told_in_one_line(folders, capsys):
    folder, _ = folders
    (folder / 'codes' / 'test_0001_output_0.txt').unlink()
    assert call(folder) == 1
    said = capsys.readouterr().err
    assert '6 codes of the test split in 1 files, expected 10' in said and said.count('\n') == 1
    (folder / 'codes' / 'test_0001_output_0.txt').write_text('voxels\n')
    assert call(folder) == 1 and 'does not hold codes' in capsys.readouterr().err
    (folder / 'bins' / 'train_labels.txt').unlink()
    assert call(folder) == 1 and 'vsl/mat2bin.py' in capsys.readouterr().err
