"""The parts of bench/lease.py; bench/*.py are programs, so what they are made of has a folder."""
