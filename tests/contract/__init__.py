"""The public contract, statement by statement, on every backend that a statement names."""
