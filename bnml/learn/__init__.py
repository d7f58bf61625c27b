"""Models: labels, data sets, fits, bundles."""
