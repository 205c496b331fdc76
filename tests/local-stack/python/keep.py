"""Runs a command in its own session and ends the whole session when standard input closes.

usage: python3 keep.py COMMAND [ARGUMENT ...]

A closed pipe is the only signal that also arrives when the starting process was killed.
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
    # The command would inherit SIG_IGN, so these are handlers. The starting process acts on Ctrl-C.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    if sys.platform == "linux":
        # Orphans of the session become children of this process, because process 1 may not reap them.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        # The variable is kept to the end, because a Popen that is dropped reaps its process itself.
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
    """Asks every process of the group to end, then kills those that are left."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            os.killpg(group, request)
            while time.monotonic() < deadline:
                time.sleep(0.01)
                reap(ended)
                os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return  # no process is left, or only zombies (PermissionError on macOS)


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
