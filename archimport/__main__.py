"""`python -m archimport` is the command line."""

from archimport.cli import main

main()
