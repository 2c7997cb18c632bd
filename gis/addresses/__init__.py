"""Names and addresses: folded to one spelling, taken apart, and found."""
