"""Runs a command in a session of its own and ends that whole session when standard input closes.

usage: python3 keep.py COMMAND [ARGUMENT ...]

A closed pipe is the one message that also arrives when whoever started this was killed outright.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PATIENCE_SECONDS = 2.0
PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    # Handlers and not SIG_IGN, which the command would inherit. Ctrl-C is for the starter to act on.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    if sys.platform == "linux":
        # Orphans of the session come to us, so that none stays behind as a zombie where process 1 does not care.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        # Held to the end: a Popen that is forgotten reaps its process on its own.
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(error, file=sys.stderr)
        return 127
    command, ended = process.pid, {}
    while command not in ended:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready and not os.read(0, 1):
            break
        if woken in ready and signal.SIGTERM in os.read(woken, 64):
            break
        reap(ended)
    end_session(command, ended)
    return ended.get(command, 128 + signal.SIGKILL)


def end_session(group: int, ended: dict) -> None:
    """Asks every process of the group to end, then makes it."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            os.killpg(group, request)
            while time.monotonic() < deadline:
                time.sleep(0.01)
                reap(ended)
                os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return  # nobody is left, or (as macOS puts it) only the dead are


def reap(ended: dict) -> None:
    """Notes the exit status of every child that has ended."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            ended[pid] = code if code >= 0 else 128 - code
    except ChildProcessError:
        return


if __name__ == "__main__":
    sys.exit(main())
