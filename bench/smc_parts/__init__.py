"""The parts of bench/smc.py; bench/*.py are programs, so what they are made of has a folder."""
