"""What only bench/execution.py needs."""
