"""Pictures drawn by several processes: the same bytes, whatever becomes of the helpers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """
import os
from analysis.formats import side_by_side
from analysis.formats.blocks import Picture, ReportColumn, ReportTable
from analysis.formats.drawing import draw
from analysis.formats.style import new_figure

PARENT = os.getpid()

def figure(i):
    made = new_figure(2.0, 1.5)
    made.add_axes((0.2, 0.2, 0.7, 0.7)).plot([0, i], [i, 1])
    return made

def picture(i, raster):
    data = ReportTable(f"p{i}", "", (ReportColumn("x", "X"),), ((i,),))
    return Picture(f"p{i}", "caption", "alt", lambda: figure(i), data, raster=raster)

pictures = [picture(i, i % 2 == 0) for i in range(9)]
alone = [draw(one) for one in pictures]
"""
"""What every program here begins with: nine pictures, and how they look when drawn one by one."""


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose BLAS starts no threads, so that it can be forked."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process draws")


def test_helpers_draw_a_part_and_all_bytes_are_the_same() -> None:
    done = run(
        "drawn_here = []\n"
        "side_by_side.draw = lambda one: (drawn_here.append(one), __import__('time').sleep(0.05), draw(one))[2]\n"
        "assert side_by_side.draw_all(pictures, side_by_side.Drawers(3)) == alone\n"
        "assert 0 < len(drawn_here) < len(pictures), len(drawn_here)\n"
        "try: os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError: print('no helper left')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no helper left\n", "")


def test_what_a_helper_leaves_undone_is_drawn_by_its_parent() -> None:
    done = run(
        "def disk_is_full(): raise OSError(28, 'No space left on device')\n"
        "for end in (lambda: os.kill(os.getpid(), 9), lambda: os._exit(1), disk_is_full):\n"
        "    drawn_here = []\n"
        "    def fails(one):\n"
        "        if os.getpid() == PARENT: drawn_here.append(one.name)\n"
        "        elif one.name == 'p4': end()\n"
        "        __import__('time').sleep(0.5 if drawn_here else 0.01)\n"
        "        return draw(one)\n"
        "    side_by_side.draw = fails\n"
        "    assert side_by_side.draw_all(pictures, side_by_side.Drawers(2)) == alone\n"
        "    assert drawn_here[-1] == 'p4', drawn_here  # the last: after the helper's end\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_helper_does_not_outlive_its_parent_by_more_than_a_picture() -> None:
    done = run(
        "listening, told = os.pipe()\n"
        "def slow(one):\n"
        "    if os.getpid() == driver: os.kill(driver, 9)\n"
        "    os.write(told, b'.')\n"
        "    __import__('time').sleep(0.2)\n"
        "    return draw(one)\n"
        "side_by_side.draw = slow\n"
        "driver = os.fork() or os.getpid()\n"
        "if driver == os.getpid(): side_by_side.draw_all(pictures, side_by_side.Drawers(2))\n"
        "os.close(told)\n"
        "drawn = b''\n"
        "while more := os.read(listening, 9): drawn += more\n"  # until the last helper has ended
        "print(len(drawn) <= 1)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_picture_that_cannot_be_drawn_is_an_error_of_the_parent_and_leaves_no_helper() -> None:
    done = run(
        "def broken(): raise ValueError('no such figure')\n"
        "pictures[7] = Picture('p7', '', '', broken, pictures[7].data)\n"
        "try: side_by_side.draw_all(pictures, side_by_side.Drawers(2))\n"
        "except ValueError as error: print(error)\n"
        "try: os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError: print('no helper left')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no such figure\nno helper left\n", "")


def test_a_process_with_threads_is_not_forked() -> None:
    done = run(
        "import threading\n"
        "assert side_by_side.can_fork()\n"
        "stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait)\n"
        "thread.start()\n"
        "os.fork = None  # an error where it is called\n"
        "assert not side_by_side.can_fork()\n"
        "assert side_by_side.draw_all(pictures, side_by_side.Drawers(2)) == alone\n"
        "stop.set()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_library_whose_thread_bears_a_fork_leaves_helpers() -> None:
    pytest.importorskip("pyarrow", reason="it has such a thread")
    done = run(
        "import pyarrow\n"
        "pyarrow.array(range(1000))\n"
        "assert side_by_side.can_fork()\n"
        "side_by_side.FORKABLE = frozenset()\n"
        "from pathlib import Path\n"
        "names = [(task / 'comm').read_text() for task in Path('/proc/self/task').iterdir()]\n"
        "assert side_by_side.can_fork() == ('jemalloc_bg_thd\\n' not in names), names\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_no_helper_can_be_had_one_process_draws() -> None:
    done = run(
        "fork, calls = os.fork, []\n"
        "def one_only():\n"
        "    calls.append(1)\n"
        "    if len(calls) > 1: raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "    return fork()\n"
        "os.fork = one_only\n"
        "assert side_by_side.draw_all(pictures, side_by_side.Drawers(4)) == alone\n"
        "assert len(calls) == 2\n"
        "def no_place(): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
        "side_by_side.tempfile.TemporaryFile = no_place\n"
        "assert side_by_side.draw_all(pictures, side_by_side.Drawers(4)) == alone\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_shell_that_ignores_the_ends_of_children_changes_nothing() -> None:
    done = run(
        "import signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "assert side_by_side.draw_all(pictures, side_by_side.Drawers(3)) == alone\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_error_meanwhile_is_told_though_nobody_reads_of_the_ends_of_children() -> None:
    done = run(
        "import signal, time\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "def fails():\n"
        "    time.sleep(1.0)\n"  # its helpers have drawn all and are gone
        "    raise ValueError('no such page')\n"
        "try: side_by_side.draw_all(pictures[:2], side_by_side.Drawers(3, meanwhile=fails))\n"
        "except ValueError as error: print(error)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no such page\n", "")


def test_an_interrupt_just_before_signals_wait_leaves_none_of_them_waiting() -> None:
    done = run(
        "import signal\n"
        "real = signal.pthread_sigmask\n"
        "def interrupted(how, numbers):\n"
        "    before = real(how, numbers)\n"
        "    if how == signal.SIG_BLOCK and numbers: raise KeyboardInterrupt\n"  # as the real one does, having blocked
        "    return before\n"
        "signal.pthread_sigmask = interrupted\n"
        "try: side_by_side.draw_all(pictures, side_by_side.Drawers(2))\n"
        "except KeyboardInterrupt: print('interrupted')\n"
        "print(real(signal.SIG_BLOCK, ()))\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\nset()\n", "")


def test_no_word_of_the_threads_that_bear_a_fork() -> None:
    done = run(
        "import warnings\n"
        "fork = os.fork\n"
        "def warned():\n"
        "    warnings.warn('this process is multi-threaded', DeprecationWarning)\n"
        "    return fork()\n"
        "os.fork = warned\n"
        "assert side_by_side.draw_all(pictures, side_by_side.Drawers(3)) == alone\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
