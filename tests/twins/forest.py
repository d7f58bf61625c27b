"""Naive walk through the blocks: one tree at a time, one comparison of floats at a time, plain Python."""

import math
import struct

import numpy as np


def leaf_of(flat, tree, row):
    """The word where the values of the reached leaf begin, and how many nodes were asked on the way."""
    block, slot, asked = 16 * tree, int(flat.shape[1]), 0
    while True:
        limit, word = (int(flat.words[block + 2 * slot + part]) for part in (0, 1))
        column, nan_goes_right = divmod(word & 0xFFFF, 2)
        right = 0
        if column < len(row):
            asked += 1
            value = float(np.float32(row[column]))
            right = nan_goes_right if math.isnan(value) else int(value > float_of(limit))
        if slot < 4:
            slot = 2 * slot + right
            continue
        way_out = word >> (24 if right else 16) & 0xFF
        place = int(flat.words[block + way_out // 128]) + way_out % 128
        if way_out >= 128:
            return place, asked
        block, slot = place, 1


def float_of(limit):
    """Undo the ordering of the stored bits."""
    bits = limit ^ (0x80000000 if limit >> 31 else 0xFFFFFFFF)
    return struct.unpack("f", struct.pack("I", bits))[0]


def random_forest(flat, row):
    total = [0.0, 0.0, 0.0]
    for tree in range(flat.shape[0]):
        place, _ = leaf_of(flat, tree, row)
        for label, share in enumerate(flat.words[place : place + 6].view(np.float64)):
            total[label] += float(share)
    return [value / int(flat.shape[0]) for value in total]


def boosting(flat, base, row):
    margins = [np.float32(value) for value in base]
    for tree in range(flat.shape[0]):
        place, _ = leaf_of(flat, tree, row)
        margins[tree % 3] = np.float32(margins[tree % 3] + flat.words[place : place + 1].view(np.float32)[0])
    top = max(margins)
    grown = [np.float32(math.exp(float(margin - top))) for margin in margins]
    total = np.float32(sum(float(value) for value in grown))
    return [float(value / total) for value in grown]
