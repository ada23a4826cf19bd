"""What every provider must do (`test_contract.py`), and what each does in its own way."""
