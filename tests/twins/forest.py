"""Naive walk through the flat trees: one tree at a time, one comparison at a time, plain Python."""

import math

import numpy as np


def leaf_of(nodes, root, row):
    at = int(root)
    while int(nodes[at]["left"]) != at:
        node = nodes[at]
        value = np.float32(row[int(node["column"])])
        goes_right = int(value > node["threshold"])
        if math.isnan(value):
            goes_right = int(node["missing"])
        at = int(node["left"]) + goes_right
    return int(nodes[at]["missing"])


def random_forest(flat, row):
    total = [0.0, 0.0, 0.0]
    for root in flat.roots:
        leaf = leaf_of(flat.nodes, root, row)
        for label in range(3):
            total[label] += float(flat.values[leaf, label])
    return [value / len(flat.roots) for value in total]


def boosting(flat, base, row):
    margins = [np.float32(value) for value in base]
    for number, root in enumerate(flat.roots):
        margins[number % 3] = np.float32(margins[number % 3] + flat.values[leaf_of(flat.nodes, root, row)])
    top = max(margins)
    grown = [np.float32(math.exp(float(margin - top))) for margin in margins]
    total = np.float32(sum(float(value) for value in grown))
    return [float(value / total) for value in grown]
