"""Run the command line as `python -m bnml`."""

from bnml.cli import main

if __name__ == "__main__":
    main()
