"""python -m live: the operators' commands. [S]"""

import os

from live.cli import main
from prodsafe.dotenv_guard import suppress_in_production

suppress_in_production(os.environ)
raise SystemExit(main())
