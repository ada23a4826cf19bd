"""The details of each scheme; what all must do stands in `test_contract.py`."""
