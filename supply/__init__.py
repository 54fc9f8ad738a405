"""What this project is made of and what may not lie in it: pins, licences, the bill of materials, secrets, references.

Checks of the repository, run by `make supply` and by CI. Nothing here is installed with the product, and nothing in it
imports this.
"""
