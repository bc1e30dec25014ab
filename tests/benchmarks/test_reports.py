"""What the reports of peers, scale and profiles conclude from their numbers."""

import pytest
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

from benchmarks.measure.litert_profile import ProfilerMissing, parsed
from benchmarks.measure.profiles import operations
from benchmarks.measure.profiles_report import OTHERS, bars, shares
from benchmarks.measure.scale_report import curves
from benchmarks.measure.synthetic import Noise
from benchmarks.peers.paths import REFERENCE, ways
from benchmarks.peers.report import best


def test_best_way_is_of_the_same_precision_and_side_and_has_run():
    case = {
        "a": {"precision": "int8", "ours": True, "ratio": 0.5},
        "b": {"precision": "int8", "ours": True, "ratio": 0.4},
        "fast float": {"precision": "float32", "ours": True, "ratio": 0.1},
        "failed": {"precision": "int8", "ours": True, "error": "no"},
        "peer": {"precision": "int8", "ours": False, "ratio": 0.2},
    }
    assert best(case, "int8", ours=True) == ("b", 0.4)
    assert best(case, "float32", ours=False) is None


def test_ways_have_names_of_their_own_and_the_reference_is_one_of_the_peers():
    names = [way.name for way in ways()]
    assert len(set(names)) == len(names)
    assert not next(way for way in ways() if way.name == REFERENCE).ours


def test_profile_adds_up_operations_and_leaves_out_what_runs_others():
    space = XSpace()
    plane = space.planes.add(name="/host:CPU")
    events = {
        "net/conv:Conv2D": 4,
        "net/conv2:_MklNativeConv2D": 2,
        "step:StatefulPartitionedCall": 9,
    }
    events |= {"ThreadpoolListener::Schedule": 5, "add:AddV2": 1}
    line = plane.lines.add()
    for i, (name, milliseconds) in enumerate(events.items()):
        plane.event_metadata[i].name = name
        line.events.add(metadata_id=i, duration_ps=int(milliseconds * 1e9))
    assert operations(space.SerializeToString()) == {"Conv2D": 6, "AddV2": 1}


SUMMARY = """
========================= Run Order =========================
  [node type]  [start]  [first]  [avg ms]  [%]  [cdf%]  [mem KB]  [times called]  [Name]
  MAX_POOL_2D    0.000    0.637     9.999  1.141%  65.445%    0.000    5   [Builtin]:9

========================= Summary by node type =========================
                    [Node type]  [count]  [avg ms]  [avg %]  [cdf %]  [mem KB]  [times called]
  Delegate/Convolution (NHWC, F32) IGEMM  10  4.353  87.488%  87.488%   0.000         8
                        MAX_POOL_2D   1  0.583   0.733% 100.000%   0.000         1

Timings (microseconds): count=29 curr=398082
"""


def test_time_by_kernel_is_read_from_litert_s_summary():
    assert parsed(SUMMARY) == {
        "Convolution (NHWC, F32) IGEMM": pytest.approx(34.824),
        "MAX_POOL_2D": pytest.approx(0.583),
    }


def test_a_summary_of_another_form_is_an_error_and_no_number():
    with pytest.raises(ProfilerMissing, match="no times by operator"):
        parsed(SUMMARY.replace("%", " percent"))


def test_shares_are_of_the_whole_and_what_is_left_is_one():
    assert shares({"a": 10.0, "b": 60.0, "c": 10.0, "d": 20.0}, 2) == {
        "b": 60.0,
        "d": 20.0,
        OTHERS: 20.0,
    }
    assert shares({"a": 1.0}, 2) == {"a": 100.0}


def test_bars_of_a_panel_have_the_same_kinds_and_sum_to_a_hundred():
    of_file = {"TFLite float32": {"kernels": {"conv": 3.0, "add": 1.0}}, "TFLite int8": {}}
    training = {"operations": {f"kind {i}": 1.0 + i for i in range(20)}}
    networks = {
        "first": {"training": training, "files": of_file},
        "second": {"training": {"operations": {"kind 3": 1.0}}, "files": {}},
        "failed": {"training": {"error": "out of memory"}, "files": {"error": "it, too"}},
        "not yet": {},
    }
    panels = bars({"networks": networks})
    assert panels.keys() == {"training", "TFLite float32"}
    for parts in panels.values():
        assert len({tuple(part) for part in parts.values()}) == 1
        assert all(sum(part.values()) == pytest.approx(100) for part in parts.values())
    assert panels["training"]["second"]["kind 3"] == 100


def test_curves_take_points_that_differ_on_one_axis_alone():
    base = {"network": "unet", "training": False, "size": 256, "classes": 21, "batch": 1}
    others = [{"size": 512}, {"classes": 2}, {"batch": 4}, {"size": 128}]
    points = [point | {"median_ms": 1.0} for point in (base, *(base | other for other in others))]
    sizes = [place for place, _ in curves(points, "size", "median_ms")["unet, inference"]]
    assert sizes == [128, 256, 512]
    assert len(curves(points, "batch", "median_ms")["unet, inference"]) == 2


def test_synthetic_sample_depends_on_its_index_alone():
    noise = Noise(10**6, 16)
    assert (noise[7].image == Noise(8, 16)[7].image).all()
    assert (noise[7].image != noise[8].image).any()
    assert (noise[7].image >= 128).all(axis=-1).tolist() == (noise[7].mask == 1).tolist()
    with pytest.raises(IndexError):
        noise[10**6]
