"""`python -m cli` is `safiri`: how the roles are started, whatever the scripts' folder is called."""

from cli import main

main()
