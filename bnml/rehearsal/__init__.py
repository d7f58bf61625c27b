"""`bnml rehearse`: the life of orders at a venue, each answer held against the embedded exchange's to the same step."""
