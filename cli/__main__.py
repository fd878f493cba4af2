"""`python -m cli` is `safiri`: how `safiri up` starts the roles, whatever the scripts' folder is called."""

import sys

from cli import gate, main

gate.wait(sys.argv[1:])
main()
