"""`python -m prodsafe` is the `prodsafe` command. [S]"""

from prodsafe.cli import main

main()
