"""What the reports of peers, scale and profiles conclude from their numbers."""

import pytest
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

from benchmarks.peer_paths import REFERENCE, ways
from benchmarks.peer_report import best
from benchmarks.profiles import operations
from benchmarks.scale_report import curves
from benchmarks.synthetic import Noise


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
    events = {"net/conv:Conv2D": 4, "net/conv2:Conv2D": 2, "step:StatefulPartitionedCall": 9}
    events |= {"ThreadpoolListener::Schedule": 5, "add:AddV2": 1}
    line = plane.lines.add()
    for i, (name, milliseconds) in enumerate(events.items()):
        plane.event_metadata[i].name = name
        line.events.add(metadata_id=i, duration_ps=int(milliseconds * 1e9))
    assert operations(space.SerializeToString()) == {"Conv2D": 6, "AddV2": 1}


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
