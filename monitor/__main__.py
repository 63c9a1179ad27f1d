"""`python -m monitor` is the command `barograph`."""

from monitor.commands.main import main

if __name__ == "__main__":
    main()
