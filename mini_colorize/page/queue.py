"""One thread does all the work, the most urgent first; what nobody waits for is not done.

One thread, because the network's memory is a thread's own, and one look at a photo keeps all cores
busy. Long work calls `let_pass` now and then: more urgent work is done within it, and if nobody
waits for the long work any more, it ends there.
"""

import heapq
import itertools
import threading
from concurrent.futures import Future

from ..fast.threads import one_blas_thread

MOST = 24  # jobs that wait


class Cancelled(Exception):
    """Nobody waits for this work any more."""


class Busy(Exception):
    """Too much other work waits."""


class Queue:
    def __init__(self):
        self._filled, self._jobs, self._count = threading.Condition(), [], itertools.count()
        self._now = None  # urgency and `gone` of the work that is being done
        threading.Thread(target=self._run, name="work", daemon=True).start()

    def do(self, urgency, work, gone=lambda: False):
        """What work() returns or raises. urgency: 0 for the most urgent.

        gone: function that says whether nobody waits any more. Raises Cancelled if it did, Busy if
        too much waits.
        """
        answer = Future()
        with self._filled:
            self._drop()
            if len(self._jobs) >= MOST:
                raise Busy
            heapq.heappush(self._jobs, (urgency, next(self._count), work, gone, answer))
            self._filled.notify()
        return answer.result()

    def _drop(self):
        """What nobody waits for: whoever asked for it would be held until its turn."""
        for job in [job for job in self._jobs if job[3]()]:
            self._jobs.remove(job)
            job[4].set_exception(Cancelled())
        heapq.heapify(self._jobs)

    def let_pass(self):
        """To be called within work. Raises Cancelled."""
        urgency, gone = self._now
        while not gone():
            with self._filled:
                if not self._jobs or self._jobs[0][0] >= urgency:
                    return
                job = heapq.heappop(self._jobs)
            self._carry_out(*job)
        raise Cancelled

    def _run(self):
        while True:
            with self._filled:
                while not self._jobs:
                    self._filled.wait()
                job = heapq.heappop(self._jobs)
            self._carry_out(*job)
            del job  # it holds the answer, a picture

    def _carry_out(self, urgency, _, work, gone, answer):
        before, self._now = self._now, (urgency, gone)
        try:
            if gone():
                raise Cancelled
            with one_blas_thread():  # small products: BLAS's threads would wait for each other
                answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)
        finally:
            self._now = before
