"""The table of engines, and what a Ray cluster does with tasks whose workers die."""

import sys

import pytest

from keras_seg import engines
from keras_seg.engines import ray_engine
from keras_seg.engines.job import Job
from keras_seg.engines.local import LocalEngine
from keras_seg.engines.ray_worker import Worker


class Doubling(Job):
    """Doubles numbers; a task is a tuple of numbers."""

    def start(self):
        return lambda task: tuple(2 * number for number in task)

    def split(self, task):
        return [(number,) for number in task]

    def lost(self, task, reason):
        return (f"{task}: {reason}",)


class TestTable:
    def test_the_local_engine_does_one_task_after_the_other(self):
        with engines.open_engine("local", threads=2) as engine:
            assert isinstance(engine, LocalEngine) and engine.workers == 1 and engine.threads == 2
            assert list(engine.run(Doubling(), [(1, 2), (3,)])) == [(2, 4), (6,)]
            assert list(engine.run(Doubling(), [])) == []

    def test_unknown_engines_are_refused_with_the_nearest(self):
        with pytest.raises(ValueError, match=r"Unknown engine 'rya'. Did you mean 'ray'"):
            engines.open_engine("rya")

    def test_an_address_without_a_cluster_is_refused(self):
        with pytest.raises(ValueError, match=r"--engine ray.*or leave address out"):
            engines.check_engine("local", "auto")

    def test_ray_that_is_not_installed_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(ImportError, match=r"on all machines.*: pip install ray\.$"):
            engines.open_engine("ray")


class RayError(Exception):
    """As Ray raises for a dead worker."""


class RayTaskError(RayError):
    """As Ray raises for an error of the task."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class FakeRay:
    """Ray in this process: `ray.remote` runs at once, and `deadly` numbers end their worker."""

    class exceptions:
        RayError, RayTaskError = RayError, RayTaskError

    def __init__(self, deadly=(), starts=(), full=0, cpus=2):
        self.deadly, self.starts, self.full, self.cpus = set(deadly), list(starts), full, cpus
        self.deaths, self.alive, self.most = 0, set(), 0
        self.put = lambda value: value

    def remote(self, **options):
        self.options = options
        return lambda kind: FakeActors(self, kind)

    def wait(self, references, timeout):
        return references[-1:], references[:-1]

    def get(self, reference):
        if isinstance(reference[0], Exception):
            raise reference[0]
        return reference[0]

    def kill(self, actor):
        self.alive.discard(actor)

    def cluster_resources(self):
        return {"CPU": float(self.cpus)}

    available_resources = cluster_resources


class FakeActors:
    def __init__(self, ray, kind):
        self.ray, self.kind = ray, kind

    def remote(self, *arguments):
        return FakeActor(self.ray, self.kind(*arguments))


class FakeActor:
    def __init__(self, ray, worker):
        self.ray, self.worker = ray, worker
        ray.alive.add(self)
        ray.most = max(ray.most, len(ray.alive))
        self.start, self.do = FakeMethod(self._start), FakeMethod(self._do)

    def _start(self, version):
        if self.ray.starts:
            raise self.ray.starts.pop()
        return self.worker.start(version)

    def _do(self, task):
        if self.ray.deadly & set(task):
            self.ray.deaths += 1
            raise RayError("The actor died.\nMany lines follow.")
        if self.ray.full:
            self.ray.full -= 1
            raise RayTaskError(OSError("No space left"))
        return self.worker.do(task)


class FakeMethod:
    def __init__(self, function):
        self.function = function

    def remote(self, *arguments):
        try:
            return (self.function(*arguments), object())
        except RayError as error:
            return (error, object())
        except Exception as error:
            return (RayTaskError(error), object())


def results(ray, tasks, threads=1):
    """The results of doubling on a fake cluster."""
    engine = ray_engine.RayEngine.__new__(ray_engine.RayEngine)
    engine.threads, engine._ray, engine._connected_here = threads, ray, False
    found = list(engine.run(Doubling(), tasks))
    assert not ray.alive
    return found


class TestRayRun:
    def test_all_tasks_are_done_by_a_worker_per_cpu_and_a_spare_one(self):
        ray = FakeRay(cpus=4)
        found = results(ray, [(number,) for number in range(9)], threads=2)
        assert sorted(found) == [(2 * number,) for number in range(9)]
        assert ray.most == 3 and ray.options == {"num_cpus": 2, "max_restarts": 0}

    def test_no_more_workers_start_than_there_are_tasks(self):
        ray = FakeRay(cpus=64)
        assert len(results(ray, [(1,), (2,)])) == 2 and ray.most == 2

    def test_a_task_that_ends_its_workers_is_split_until_the_culprit_is_alone(self):
        ray = FakeRay(deadly={7})
        found = results(ray, [(1, 2), (5, 7, 9)])
        reason = "(7,): The process that worked on it ended 3 times: The actor died."
        assert sorted(found, key=str) == sorted([(2, 4), (10,), (18,), (reason,)], key=str)
        assert ray.deaths == 6

    def test_a_task_that_could_not_write_is_tried_again(self):
        assert results(FakeRay(full=2), [(1,)]) == [(2,)]
        with pytest.raises(OSError, match="No space left"):
            results(FakeRay(full=3), [(1,)])

    def test_other_errors_of_a_task_end_the_run(self):
        with pytest.raises(TypeError):
            results(FakeRay(), [(None,)])

    def test_workers_that_cannot_start_end_the_run(self):
        assert results(FakeRay(starts=[RayError("killed")] * 2), [(1,)]) == [(2,)]
        with pytest.raises(RuntimeError, match=r"3 workers ended while they started: killed\. Are"):
            results(FakeRay(starts=[RayError("killed")] * 3), [(1,)])
        with pytest.raises(ValueError, match="does not see"):
            results(FakeRay(starts=[ValueError("does not see")]), [(1,)])

    def test_a_worker_of_another_version_is_refused(self):
        with pytest.raises(RuntimeError, match=r"has keras_seg .* a job of keras_seg 0\.0\.1"):
            Worker(Doubling(), {}).start("0.0.1")
