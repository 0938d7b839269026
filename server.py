"""`python server.py …` in a checkout is the same program as `headrace serve …`."""

import sys

from headrace.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
