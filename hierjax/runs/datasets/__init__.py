"""Strings in files, with their trees: written in shards, read by numpy, PyTorch and `datasets`.

shards.py         What a dataset's files are called and hold, and how a shard is read.
writer.py         DatasetSizes, DatasetWriter, write_dataset: shards that a kill does not lose.
reader.py         StringDataset, open_dataset: batches of numpy arrays.
conversions.py    to_torch, to_hugging_face: the same strings for other libraries.
torch_strings.py  The dataset of PyTorch; imports it.
"""
