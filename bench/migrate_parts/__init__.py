"""The parts of bench/migrate.py; bench/*.py are programs, so what they are made of has a folder."""
