"""Long exercises on the whole system, out of `make test`: `make faults`, or one of them by `make faults WHAT=redis`.

They print what they saw; what they assert is that nothing is lost, not how long it took.
"""
