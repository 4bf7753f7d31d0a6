"""python -m headct COMMAND ...: runs the program headct in place of Python."""
import os
import sys

from ._program import HeadctError, find_program


def main() -> int:
    try:
        program = find_program()
        os.execv(program, [program, *sys.argv[1:]])
    except (HeadctError, OSError) as e:
        print(e, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
