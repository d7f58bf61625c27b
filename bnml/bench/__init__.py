"""What bnml costs, each figure measured beside a yardstick in the same process."""
