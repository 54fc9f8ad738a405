"""python -m live: the operators' commands. [S]"""

from live.cli import main

raise SystemExit(main())
