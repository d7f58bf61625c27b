"""`bnml drill`: faults on purpose against a real daemon, each with a verdict and the evidence for it."""
