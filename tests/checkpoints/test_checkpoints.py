"""Checkpoints are read in every wrapping, and load strictly or not at all."""

import numpy as np
import pytest

from keras_seg.checkpoints import convert, list_sources
from keras_seg.checkpoints.command import convert_file
from keras_seg.checkpoints.registry import source
from keras_seg.weights import read
from tests.helpers.reference import CASES, read_golden, state_dict


@pytest.fixture(scope="module")
def state():
    """A narrow U-Net in milesial's names."""
    facts, _ = read_golden(next(path for path in CASES if path.stem == "unet_milesial"))
    narrow = {
        name: [max(1, size // 16) if size >= 64 else size for size in shape]
        for name, shape in facts["manifest"].items()
    }
    return state_dict(narrow, seed=0)


PIXELS = np.random.default_rng(0).uniform(0, 1, (1, 32, 32, 3)).astype("float32")


class TestStrictness:
    def test_leftover_missing_and_misshapen_tensors_are_listed(self, state):
        wrong = dict(state) | {"extra.weight": np.zeros(3, "float32")}
        del wrong["up2.up.bias"]
        wrong["outc.conv.bias"] = np.zeros(7, "float32")
        with pytest.raises(ValueError) as error:
            convert(wrong, "milesial")
        for part in ("extra.weight", "up2.up.bias", r"outc.conv.bias: (7,)"):
            assert part in str(error.value)

    def test_renamed_tensors_are_listed_by_the_name_in_their_file_too(self):
        facts, _ = read_golden(
            next(path for path in CASES if path.stem == "unet_mateuszbuda_narrow")
        )
        wrong = state_dict(facts["manifest"], seed=0)
        wrong["decoder1.dec1conv9.bias"] = np.zeros(3, "float32")
        wrong["bottleneck.bottlenecknorm1.bias"] = np.zeros(7, "float32")
        with pytest.raises(ValueError) as error:
            convert(wrong, facts["source"])
        assert "(decoder1.dec1conv9.bias)" in str(error.value)
        assert "(bottleneck.bottlenecknorm1.bias): (7,)" in str(error.value)

    def test_one_slope_is_not_taken_for_one_a_channel(self):
        facts, _ = read_golden(
            next(path for path in CASES if path.stem == "gridnet_niklaus_identity")
        )
        wrong = state_dict(facts["manifest"], seed=0)
        wrong["1x0 - 1x1.netMain.2.weight"] = np.ones(1, "float32")
        with pytest.raises(ValueError, match=r"lateral_1_0\.4\.weight.*: \(1,\) for"):
            convert(wrong, facts["source"])

    @pytest.mark.parametrize("other", ["mateuszbuda", "4uiiurz1", "nikhilroxtomar", "smp"])
    def test_a_unet_of_another_repository_is_refused(self, state, other):
        with pytest.raises(ValueError, match="has no tensor like"):
            convert(state, other)

    def test_a_checkpoint_of_another_network_is_refused(self, state):
        with pytest.raises(ValueError, match="has no tensor"):
            convert({"layer1.weight": np.zeros(3)}, "milesial")

    @pytest.mark.parametrize(
        ("source_name", "tensors"),
        [
            ("milesial", {"inc.double_conv.0.weight": ()}),
            ("hrnet", {"transition1.0.0.weight": ()}),
            ("gridnet-fourure", {"last.0.weight": (2, 2)}),
        ],
    )
    def test_tensors_of_too_few_axes_are_refused(self, source_name, tensors):
        tensors = {name: np.zeros(shape, "float32") for name, shape in tensors.items()}
        with pytest.raises(ValueError, match="fewer axes than .* begins with"):
            convert(tensors, source_name)

    @pytest.mark.parametrize(
        "change",
        [
            lambda kernel: kernel * np.nan,
            pytest.param(
                lambda kernel: np.full(kernel.shape, np.inf, "float16"), marks=pytest.mark.slow
            ),
            lambda kernel: np.full(kernel.shape, 1e300),
            lambda kernel: kernel.astype(str),
            pytest.param(lambda kernel: kernel.astype(object), marks=pytest.mark.slow),
            pytest.param(lambda kernel: kernel.astype("complex64"), marks=pytest.mark.slow),
            pytest.param(
                lambda kernel: kernel.astype("int64").astype("datetime64[s]"),
                marks=pytest.mark.slow,
            ),
        ],
        ids=["NaN", "infinite", "beyond float32", "text", "object", "complex", "dates"],
    )
    def test_values_that_no_weight_can_have_are_refused(self, state, change):
        changed = state | {"outc.conv.weight": change(state["outc.conv.weight"])}
        with pytest.raises(ValueError, match=r"finite float32 numbers \(1\): outc.conv.weight"):
            convert(changed, "milesial")

    @pytest.mark.parametrize("option", ["num_classes", "name", "input_shape", "source"])
    def test_options_that_are_none_are_refused(self, state, tmp_path, option):
        with pytest.raises(ValueError, match=f"options cannot hold .'{option}'"):
            convert_file(state, "milesial", tmp_path / "x.keras", options={option: 3})

    def test_unknown_source_or_option_is_answered_with_the_nearest(self, state):
        with pytest.raises(ValueError, match="Did you mean 'milesial'"):
            convert(state, "milesal")
        with pytest.raises(ValueError, match="Did you mean 'upsampling'"):
            convert(state, "milesial", upsample="bilinear")

    def test_sources_have_one_meaning(self):
        assert "milesial" in list_sources()
        with pytest.raises(ValueError, match="registered already"):
            source("milesial")(lambda shapes, input_shape, options: None)


class TestCaffe:
    @pytest.mark.parametrize("case", ["segnet_basic_caffe_narrow_odd", "deconvnet_nofc_narrow_odd"])
    def test_numbered_blobs_with_folded_norms_are_read(self, case):
        facts, _ = read_golden(next(path for path in CASES if path.stem == case))
        tensors, blobs = state_dict(facts["manifest"], seed=0), {}
        for name, tensor in tensors.items():
            layer, _, leaf = name.rpartition(".")
            if leaf == "running_mean":  # folded into scale and shift: no such blob
                tensors[name] = np.zeros_like(tensor)
            elif leaf == "running_var":
                tensors[name] = np.full_like(tensor, 1 - 1e-5)
            elif leaf in ("weight", "bias"):
                shape = (1, -1, 1, 1) if "bn" in layer else (1, 1, 1, -1)
                blob = tensor.reshape(shape) if tensor.ndim == 1 else tensor
                blobs[f"{layer}.{0 if leaf == 'weight' else 1}"] = blob
        shape = (None, None, facts["input_shape"][-1])
        found = convert(blobs, facts["source"], shape)(PIXELS[:, :, :, : shape[-1]])
        expected = convert(tensors, facts["source"], shape)(PIXELS[:, :, :, : shape[-1]])
        np.testing.assert_array_equal(found, expected)


class TestReading:
    @pytest.mark.parametrize("wrapper", ["state_dict", "model_state", "model", "net"])
    @pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
    def test_wrappers_and_prefixes_are_seen_through(self, state, wrapper, prefix):
        wrapped = {wrapper: {prefix + name: array for name, array in state.items()}, "epoch": 3}
        tensors = read(wrapped)
        assert tensors.keys() == state.keys()
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, state[name])

    def test_a_wrapped_checkpoint_is_converted(self, state):
        wrapped = {"state_dict": {f"module.{name}": array for name, array in state.items()}}
        expected, found = convert(state, "milesial")(PIXELS), convert(wrapped, "milesial")(PIXELS)
        np.testing.assert_array_equal(found, expected)

    def test_files_give_what_mappings_give(self, state, tmp_path):
        from safetensors.numpy import save_file

        save_file(state, tmp_path / "weights.safetensors")
        np.savez(tmp_path / "weights.npz", **state)
        expected = convert(state, "milesial")(PIXELS)
        for name in ("weights.safetensors", "weights.npz"):
            np.testing.assert_array_equal(convert(tmp_path / name, "milesial")(PIXELS), expected)

    def test_torch_files_are_read_without_running_their_code(self, state, tmp_path):
        torch = pytest.importorskip("torch")
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        torch.save({"state_dict": tensors, "epoch": 1}, tmp_path / "weights.pth")
        expected = convert(state, "milesial")(PIXELS)
        np.testing.assert_array_equal(
            convert(tmp_path / "weights.pth", "milesial")(PIXELS), expected
        )

    def test_trainable_tensors_of_torch_are_taken_as_they_are(self):
        class Parameter:
            """As torch.nn.Parameter: no array as long as it is trainable, or on a GPU."""

            shape, dtype = (3,), "torch.bfloat16"

            def detach(self):
                return self

            cpu = detach

            def is_floating_point(self):
                return True

            def float(self):
                return np.ones(3, "float32")

            def __array__(self, *_):
                raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

        np.testing.assert_array_equal(read({"layer.bias": Parameter()})["layer.bias"], np.ones(3))

    def test_torch_files_without_torch_say_what_to_do(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "torch", None)
        (tmp_path / "weights.pth").write_bytes(b"x")
        with pytest.raises(ImportError, match=r"pip install torch"):
            read(tmp_path / "weights.pth")

    def test_files_that_are_none_are_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no checkpoint file"):
            read(tmp_path / "no.npz")
        (tmp_path / "weights.bin").write_bytes(b"x")
        with pytest.raises(ValueError, match="ending in .safetensors"):
            read(tmp_path / "weights.bin")
        for name in ("weights.npz", "weights.safetensors"):
            (tmp_path / name).write_bytes(b"nothing")
            with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
                read(tmp_path / name)
        with pytest.raises(ValueError, match="holds no tensors"):
            read({"epoch": 3})
