"""What every bench shares; a bench is a program bench/NAME.py, and what only one of them needs is in NAME_parts/."""
