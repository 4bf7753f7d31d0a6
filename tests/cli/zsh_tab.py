"""zsh_tab FOLDER LINE: what an interactive zsh shows once Tab is pressed after LINE, with the completions of FOLDER."""
import os
import pty
import select
import sys
import tempfile
import time

folder, line = sys.argv[1:]
with tempfile.TemporaryDirectory() as home:
    with open(f"{home}/.zshrc", "w", encoding="ascii") as f:
        f.write(f"fpath=({folder} $fpath)\nautoload -Uz compinit\ncompinit -u -D\nunsetopt list_beep\nPS1='ready> '\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-i"], {**os.environ, "HOME": home, "ZDOTDIR": home, "TERM": "dumb", "LINES": "50", "COLUMNS": "120"})
    seen, sent, quiet_since = b"", False, time.monotonic()
    end = quiet_since + 60
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                got = os.read(terminal, 65536)
            except OSError:
                break
            seen += got
            quiet_since = time.monotonic()
        elif not sent and b"ready> " in seen:
            sent, seen, quiet_since = True, b"", time.monotonic()
            os.write(terminal, line.encode() + b"\t\t")
        elif sent and len(seen) > len(line) + 8 and time.monotonic() - quiet_since > 3:
            break
    os.kill(pid, 9)
print(seen.decode("utf-8", "replace"))
