"""Writes the formats that no package at hand writes; the names of layers are written out, as the producers give them.

A network is `{"conv1_1/kernel": [height, width, in, out], "conv1_1/bias": [out], ...}`; layers called fc are dense.
"""

import functools
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Arrays = Mapping[str, np.ndarray]

KERAS_NAMES = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
# torchvision: vgg.make_layers and squeezenet.SqueezeNet; the first two are those of every tutorial.
TORCHVISION_INDEXES = {
    "vgg16": [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
    "vgg19": [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
    "tiny": [0, 2],  # of the tests
}
TORCHVISION_FIRES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
TORCHVISION_CLASSIFIER = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6", "conv10": "classifier.1"}


def layers(arrays: Arrays) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields name, kernel and bias of each layer."""
    for name, kernel in arrays.items():
        if name.endswith("/kernel"):
            layer = name.removesuffix("/kernel")
            yield layer, kernel, arrays[f"{layer}/bias"]


def is_dense(layer: str) -> bool:
    return layer.rpartition("/")[2].startswith(("fc", "classifier"))


def outputs_first(layer: str, kernel: np.ndarray) -> np.ndarray:
    """As Caffe and PyTorch have it: OIHW, and a dense kernel as [out, in·height·width]."""
    kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    return kernel.reshape(len(kernel), -1) if is_dense(layer) else kernel


def outputs_last(layer: str, kernel: np.ndarray) -> np.ndarray:
    """As Keras has it on TensorFlow: HWIO, and a dense kernel as [height·width·in, out]."""
    return kernel.reshape(-1, kernel.shape[-1]) if is_dense(layer) else kernel


def of_theano(layer: str, kernel: np.ndarray) -> np.ndarray:
    """As Keras had it on Theano: OIHW rotated by 180 degrees, and a dense kernel as [in·height·width, out]."""
    if is_dense(layer):
        return kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[-1])
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1])


def torchvision_names(arrays: Arrays, table: str) -> dict[str, str]:
    """Returns our name → torchvision's; `table` is a key of TORCHVISION_INDEXES, or squeezenet1_1."""
    names = {}
    indexes = iter(TORCHVISION_INDEXES.get(table, [0]))
    for layer, *_ in layers(arrays):
        if layer in TORCHVISION_CLASSIFIER:
            names[layer] = TORCHVISION_CLASSIFIER[layer]
        elif layer.startswith("fire"):
            fire, part = layer.split("/")
            names[layer] = f"features.{TORCHVISION_FIRES[int(fire[4:])]}.{part.replace('squeeze1x1', 'squeeze')}"
        else:
            names[layer] = f"features.{next(indexes)}"
    return names


def state_dict(arrays: Arrays, table: str) -> dict[str, np.ndarray]:
    """Returns the state dict of the network as torchvision has it."""
    names = torchvision_names(arrays, table)
    return {
        f"{names[layer]}.{role}": values
        for layer, kernel, bias in layers(arrays)
        for role, values in (("weight", outputs_first(layer, kernel)), ("bias", bias))
    }


def keras_name(layer: str) -> str:
    if layer.startswith("conv") and "_" in layer:
        block, convolution = layer.removeprefix("conv").split("_")
        return f"block{block}_conv{convolution}"
    return KERAS_NAMES.get(layer, layer).replace("/", "_")


# --- Keras ---


def write_legacy(
    path: Path,
    layers: Mapping[str, Mapping[str, np.ndarray]],
    *,
    root: str = "/",
    attributes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Writes a legacy Keras file: layer → name of the weight → values; `options` are those of the datasets."""
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = [layer.encode() for layer in layers]
        group.attrs.update(attributes or {})
        for layer, weights in layers.items():
            group.create_group(layer).attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, values in weights.items():
                group[layer].create_dataset(weight, data=values, **options)
    return path


def legacy_layers(
    arrays: Arrays, pattern: str, order: Callable[[str, np.ndarray], np.ndarray] = outputs_last
) -> dict[str, dict[str, np.ndarray]]:
    """Returns layer → name of the weight → values; the pattern has {layer}, {role} (kernel, bias) and {letter}."""
    result: dict[str, dict[str, np.ndarray]] = {}
    for layer, kernel, bias in layers(arrays):
        name = keras_name(layer)
        weights = {"kernel": order(layer, kernel), "bias": bias}
        letters = {"kernel": "W", "bias": "b"}
        result[name] = {
            pattern.format(layer=name, role=role, letter=letters[role]): values for role, values in weights.items()
        }
    return result


def write_keras_0(path: Path, arrays: Arrays, order: Callable[[str, np.ndarray], np.ndarray]) -> Path:
    """Writes what Keras 0 did: every layer has a number, also those without weights (padding, pools)."""
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = 2 * len(arrays)
        for index, (layer, kernel, bias) in enumerate(layers(arrays)):
            file.create_group(f"layer_{2 * index}").attrs["nb_params"] = 0
            group = file.create_group(f"layer_{2 * index + 1}")
            group.attrs["nb_params"] = 2
            group["param_0"], group["param_1"] = order(layer, kernel), bias
    return path


def write_numbered(path: Path, arrays: Arrays, *, named: bool = True, root: str = "layers") -> Path:
    """Writes the `.weights.h5` of Keras 3, or with root `_layer_checkpoint_dependencies` of TensorFlow 2.13."""
    counts: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        for layer, kernel, bias in layers(arrays):
            kind = "dense" if is_dense(layer) else "conv2d"
            number = counts[kind] = counts.get(kind, -1) + 1
            group = file.create_group(f"{root}/{kind}{f'_{number}' if number else ''}/vars")
            if named:
                group.attrs["name"] = keras_name(layer)
            group["0"], group["1"] = outputs_last(layer, kernel), bias
    return path


def write_keras_archive(path: Path, arrays: Arrays) -> Path:
    """Writes a `.keras` file."""
    weights = write_numbered(path.with_suffix(".weights.h5"), arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}))
        archive.writestr("config.json", "{}")
        archive.write(weights, "model.weights.h5")
    return path


# --- Caffe ---


@functools.cache
def caffe_messages(packed: bool) -> dict[str, Any]:
    """Returns the messages of caffe.proto that a network needs, with their numbers as fields proper."""
    kinds = descriptor_pb2.FieldDescriptorProto
    described = {
        "BlobShape": {"dim": (1, "int64*")},
        "BlobProto": {
            "num": (1, "int32"),
            "channels": (2, "int32"),
            "height": (3, "int32"),
            "width": (4, "int32"),
            "data": (5, "float*"),
            "diff": (6, "float*"),
            "shape": (7, "BlobShape"),
            "double_data": (8, "double*"),
            "double_diff": (9, "double*"),
            "raw_data_type": (10, "int32"),
            "raw_data": (12, "bytes"),
        },
        "ConvolutionParameter": {"num_output": (1, "uint32"), "pad": (3, "uint32*"), "kernel_size": (4, "uint32*")},
        "V0LayerParameter": {"name": (1, "string"), "type": (2, "string"), "blobs": (50, "BlobProto*")},
        "V1LayerParameter": {
            "layer": (1, "V0LayerParameter"),
            "bottom": (2, "string*"),
            "top": (3, "string*"),
            "name": (4, "string"),
            "type": (5, "int32"),
            "blobs": (6, "BlobProto*"),
            "convolution_param": (10, "ConvolutionParameter"),
        },
        "LayerParameter": {
            "name": (1, "string"),
            "type": (2, "string"),
            "bottom": (3, "string*"),
            "top": (4, "string*"),
            "blobs": (7, "BlobProto*"),
            "convolution_param": (106, "ConvolutionParameter"),
        },
        "NetParameter": {
            "name": (1, "string"),
            "layers": (2, "V1LayerParameter*"),
            "input": (3, "string*"),
            "input_dim": (4, "int32*"),
            "layer": (100, "LayerParameter*"),
        },
    }
    file = descriptor_pb2.FileDescriptorProto(name="test.proto", package="test", syntax="proto2")
    for name, fields in described.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = kind.endswith("*")
            added = message.field.add(name=field, number=number)
            added.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if (kind := kind.rstrip("*")) in described:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".test.{kind}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
                if repeated and kind in ("float", "double", "int64") and packed:
                    added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}")) for name in described}


def set_blob(blob: Any, values: np.ndarray, *, legacy: bool, double: bool = False) -> None:
    """Fills a blob: with `legacy` its shape is the four lengths of before 2014."""
    if legacy:
        padded = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = padded
    else:
        blob.shape.dim.extend(values.shape)
    numbers = values.astype("<f8" if double else "<f4").tobytes()
    # As one packed field, which the runtime reads for packed and for unpacked ones: ten times faster than a list.
    blob.MergeFromString(bytes([(8 if double else 5) << 3 | 2]) + _varint(len(numbers)) + numbers)


def _varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + _varint(value >> 7) if value > 0x7F else bytes([value])


def caffe_network(
    arrays: Arrays, generation: str = "V1", *, packed: bool = True, double: bool = False, legacy: bool | None = None
) -> Any:
    """Returns the network as Caffe would write it: also layers without weights, which have to be skipped."""
    net = caffe_messages(packed)["NetParameter"](name="a test")
    net.input.append("data")
    legacy = generation != "V2" if legacy is None else legacy
    for name, kernel, bias in layers(arrays):
        if generation == "V0":
            layer = net.layers.add().layer
            kind, relu = ("innerproduct" if is_dense(name) else "conv"), "relu"
        elif generation == "V1":
            layer = net.layers.add(bottom=["a"], top=[name])
            kind, relu = (14 if is_dense(name) else 4), 18
        else:
            layer = net.layer.add(bottom=["a"], top=[name])
            kind, relu = ("InnerProduct" if is_dense(name) else "Convolution"), "ReLU"
        layer.name, layer.type = name, kind
        if generation != "V0":
            layer.convolution_param.pad.extend([1, 1])
        for values in (outputs_first(name, kernel), bias):
            set_blob(layer.blobs.add(), values, legacy=legacy, double=double)
        other = (net.layer if generation == "V2" else net.layers).add()
        other = other.layer if generation == "V0" else other
        other.name, other.type = f"relu_{name}", relu
    return net


def write_caffemodel(path: Path, arrays: Arrays, generation: str = "V1", **options: Any) -> Path:
    path.write_bytes(caffe_network(arrays, generation, **options).SerializeToString())
    return path


def write_caffe_hdf5(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path, "w") as file:
        for layer, kernel, bias in layers(arrays):
            file[f"data/{layer}/0"], file[f"data/{layer}/1"] = outputs_first(layer, kernel), bias
            file.create_group(f"data/relu_{layer}")
    return path


def write_flax_hdf5(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path, "w") as file:
        for layer, kernel, bias in layers(arrays):
            dense = is_dense(layer)
            file[f"{layer}/weight"] = of_theano(layer, kernel) if dense else kernel
            file[f"{layer}/bias"] = bias
    return path


# --- pickles of arrays ---


def write_npy_dictionary(path: Path, arrays: Arrays, *, pair: Callable[..., Any] = lambda *pair: list(pair)) -> Path:
    """Writes layer → a pair of kernel and bias, as `numpy.save` does."""
    weights = {layer: pair(outputs_last(layer, kernel), bias) for layer, kernel, bias in layers(arrays)}
    with path.open("wb") as file:
        np.save(file, weights, allow_pickle=True)
    return path


def write_lasagne(path: Path, arrays: Arrays, *, protocol: int = 4) -> Path:
    """Writes a model of Lasagne's zoo."""
    values = []
    for layer, kernel, bias in layers(arrays):
        values += [of_theano(layer, kernel) if is_dense(layer) else outputs_first(layer, kernel), bias]
    about = {"mean value": np.float32([103.939, 116.779, 123.68]), "synset words": ["a"], "model type": "vgg"}
    path.write_bytes(pickle.dumps({"param values": values, **about}, protocol=protocol))
    return path


# --- graphs ---


def field(number: int, content: bytes | int) -> bytes:
    """A field of a protobuf message: text, bytes or a message, or a whole number."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content % (1 << 64))
    return _varint(number << 3 | 2) + _varint(len(content)) + content


_TENSORFLOW_TYPES = {"float32": 1, "float64": 2, "int32": 3, "float16": 19, "uint8": 12}


def tensorflow_tensor(values: np.ndarray, kind: int | None = None) -> bytes:
    """A TensorProto of TensorFlow, with its numbers as bytes; uint8 as quint8."""
    shape = b"".join(field(2, field(1, length)) for length in values.shape)
    kind = _TENSORFLOW_TYPES[values.dtype.name] if kind is None else kind
    return field(1, kind) + field(2, shape) + field(4, values.tobytes())


def tensorflow_node(name: str, kind: str, *inputs: str, **attributes: bytes) -> bytes:
    """A node as a field of a GraphDef; an attribute is the content of an AttrValue."""
    rows = [field(5, field(1, key.encode()) + field(2, value)) for key, value in attributes.items()]
    texts = [field(3, text.encode()) for text in inputs]
    return field(1, b"".join([field(1, name.encode()), field(2, kind.encode()), *texts, *rows]))


def constant_node(name: str, tensor: bytes | np.ndarray) -> bytes:
    tensor = tensor if isinstance(tensor, bytes) else tensorflow_tensor(tensor)
    return tensorflow_node(name, "Const", value=field(8, tensor))


def write_frozen_graph(path: Path, arrays: Arrays) -> Path:
    """Writes a graph as TensorFlow freezes that of a model of Keras."""
    nodes = [tensorflow_node("input", "Placeholder")]
    for layer, kernel, bias in layers(arrays):
        name = keras_name(layer)
        nodes += [
            constant_node(f"{name}/kernel", outputs_last(layer, kernel)),
            constant_node(f"{name}/bias", bias),
            constant_node(f"{name}/strides", np.int32([1, 1])),
            tensorflow_node(f"{name}/Conv2D", "Conv2D", "input", f"{name}/kernel"),
        ]
    path.write_bytes(b"".join(nodes) + field(4, field(1, 134)))
    return path


_ONNX_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10, "float64": 11}


def onnx_tensor(name: str, values: np.ndarray, *rest: bytes, kind: int | None = None) -> bytes:
    """A TensorProto of ONNX, with its numbers as bytes, or as `rest` has them."""
    dims = b"".join(field(1, length) for length in values.shape)
    kind = _ONNX_TYPES[values.dtype.name] if kind is None else kind
    return dims + field(2, kind) + field(8, name.encode()) + (b"".join(rest) or field(9, values.tobytes()))


def onnx_node(kind: str, inputs: Sequence[str], output: str, *attributes: bytes) -> bytes:
    names = [field(1, name.encode()) for name in inputs] + [field(2, output.encode())]
    return field(1, b"".join([*names, field(4, kind.encode()), *(field(5, value) for value in attributes)]))


def onnx_model(nodes: Sequence[bytes], initialisers: Sequence[bytes]) -> bytes:
    graph = b"".join([*nodes, field(2, b"a graph"), *(field(5, tensor) for tensor in initialisers)])
    return field(1, 8) + field(2, b"pytorch") + field(3, b"2.4.1") + field(7, graph) + field(8, field(2, 17))


def write_onnx(path: Path, arrays: Arrays, table: str) -> Path:
    """Writes a graph as PyTorch exports it."""
    state = state_dict(arrays, table)
    nodes = [onnx_node("Conv", ["input", name], f"{name}_output_0") for name in state if name.endswith(".weight")]
    path.write_bytes(onnx_model(nodes, [onnx_tensor(name, values) for name, values in state.items()]))
    return path


Flat = Any
"""What is in a flatbuffer: a table (field → what is in it), tables in a list, text, an array; in a table also numbers,
as pairs of their layout and themselves."""


def flatbuffer(root: dict[int, Flat], identifier: bytes = b"TFL3") -> bytes:
    """Returns the content of a file: each table behind its vtable, and whatever it has behind both.

    What is there several times in one list is written once.
    """
    data = bytearray(4) + identifier

    def point(place: int, target: int) -> None:
        data[place : place + 4] = struct.pack("<I", target - place)

    def put(item: Flat) -> int:
        data.extend(bytes(-len(data) % 8))
        if isinstance(item, dict):
            return put_table(item)
        count = len(item)
        data.extend(bytes(4) + struct.pack("<I", count))  # so that the items are at a multiple of eight
        start = len(data)
        if isinstance(item, list):
            data.extend(bytes(4 * count))
            places: dict[int, int] = {}
            for index, table in enumerate(item):
                places[id(table)] = places.get(id(table)) or put(table)
                point(start + 4 * index, places[id(table)])
        else:
            data.extend(item if isinstance(item, bytes) else item.tobytes())
        return start - 4

    def put_table(table: dict[int, Flat]) -> int:
        offsets, body, children = [0] * (max(table, default=-1) + 1), bytearray(4), {}
        for number, item in table.items():
            layout, value = item if isinstance(item, tuple) else ("<I", 0)
            body.extend(bytes(-len(body) % struct.calcsize(layout)))
            offsets[number] = len(body)
            if not isinstance(item, tuple):
                children[len(body)] = item
            body.extend(struct.pack(layout, value))
        vtable = struct.pack(f"<{2 + len(offsets)}H", 4 + 2 * len(offsets), len(body), *offsets)
        vtable += bytes(-len(vtable) % 8)
        body[:4] = struct.pack("<i", len(vtable))
        data.extend(vtable)
        start = len(data)
        data.extend(body)
        for place, child in children.items():
            point(start + place, put(child))
        return start

    point(0, put(root))
    return bytes(data)


_TFLITE_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}


def tflite_model(
    tensors: Sequence[tuple[str, np.ndarray | None, dict[int, Flat]]], change: Callable[..., None] = lambda model: None
) -> bytes:
    """Returns a model with these tensors: name, values (None for what is computed), and other fields."""
    rows, buffers = [], [{}]
    for name, values, others in tensors:
        shape, kind = (values.shape, values.dtype.name) if values is not None else ((1, 8, 8, 3), "float32")
        row = {0: np.int32(shape), 1: ("<b", _TFLITE_TYPES[kind]), 2: ("<I", 0), 3: name.encode()} | others
        if values is not None:
            row[2] = ("<I", len(buffers))
            buffers.append({0: np.frombuffer(values.tobytes(), np.uint8)})
        rows.append(row)
    model = {0: ("<I", 3), 2: [{0: rows}], 3: b"TOCO Converted.", 4: buffers}
    change(model)
    return flatbuffer(model)


def write_tflite(path: Path, arrays: Arrays) -> Path:
    """Writes a network as TensorFlow Lite's first converter did, in single precision."""
    tensors: list[tuple[str, np.ndarray | None, dict[int, Flat]]] = [("input", None, {})]
    for layer, kernel, bias in layers(arrays):
        name = keras_name(layer)
        turned = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))
        turned = turned.reshape(len(turned), -1) if is_dense(layer) else turned
        tensors += [(f"{name}/weights", turned, {}), (f"{name}/Conv2D_bias", bias, {}), (f"{name}/Relu", None, {})]
    path.write_bytes(tflite_model(tensors))
    return path


def write_deeplearn_js(folder: Path, arrays: Arrays) -> Path:
    """Writes a checkpoint of deeplearn.js, with the names of a port of Keras."""
    folder.mkdir()
    manifest = {}
    for layer, kernel, bias in layers(arrays):
        for letter, values in (("W", outputs_last(layer, kernel)), ("b", bias)):
            name = f"{keras_name(layer)}_{letter}"
            (folder / name).write_bytes(values.tobytes())
            manifest[f"{name}:0"] = {"filename": name, "shape": list(values.shape)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


# --- others ---


def write_matconvnet(path: Path, arrays: Arrays) -> Path:
    """Writes a network as MatConvNet does since beta 17: kernels HWIO, conv1_1 reads red, green, blue."""
    rows = []
    for index, (layer, kernel, bias) in enumerate(layers(arrays)):
        pair = np.empty((1, 2), object)
        pair[0] = [kernel[:, :, ::-1] if index == 0 else kernel, bias[:, None]]
        rows += [{"name": layer, "type": "conv", "weights": pair}, {"name": f"relu_{layer}", "type": "relu"}]
    cells = np.empty((1, len(rows)), object)
    cells[0] = rows
    mean = np.float32([123.68, 116.779, 103.939]).reshape(1, 1, 3)
    scipy.io.savemat(path, {"layers": cells, "meta": {"normalization": {"averageImage": mean}}}, do_compression=True)
    return path


# A layer of DagNN: name, type, its weights by their names, and the settings of its block.
DagLayer = tuple[str, str, Mapping[str, Any], Mapping[str, Any]]


def write_dagnn(path: Path, arrays: Arrays) -> Path:
    """Writes a network as MatConvNet's importer does, a graph: conv1_1 reads red, green, blue."""
    made: list[DagLayer] = []
    for index, (layer, kernel, bias) in enumerate(layers(arrays)):
        weights = {f"{layer}_filter": kernel[:, :, ::-1] if index == 0 else kernel, f"{layer}_bias": bias}
        block = {"hasBias": True, "size": np.array([kernel.shape], float)}
        made += [(layer, "dagnn.Conv", weights, block), (f"relu_{layer}", "dagnn.ReLU", {}, {"leak": 0.0})]
    return save_dagnn(path, made)


def save_dagnn(path: Path, made: Sequence[DagLayer], **others: Any) -> Path:
    """Saves layers in the layout of vlfeat/matconvnet, utils/layers.py (`toMatlab`) and import-caffe.py.

    Weights that are None have a name among those of their layer, and no value anywhere.
    """
    structs = []
    for name, kind, weights, block in made:
        inputs, outputs, params = (_row_of_texts(texts) for texts in (["x"], [name], weights))
        structs.append((name, kind, inputs, outputs, params, dict(block) or np.zeros((0,))))
    fields = ("name", "type", "inputs", "outputs", "params", "block")
    values = [(key, value) for _, _, weights, _ in made for key, value in weights.items() if value is not None]
    mean = np.full((4, 4, 3), np.float32([123.68, 116.779, 103.939]))
    network = {
        "layers": _row_of_structs(fields, structs),
        "params": _row_of_structs(("name", "value"), values),
        "meta": {"normalization": {"averageImage": mean}},
    }
    scipy.io.savemat(path, network | others, oned_as="column")
    return path


def _row_of_structs(fields: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> np.ndarray:
    structs = np.empty((1, len(rows)), [(field, object) for field in fields])
    for index, row in enumerate(rows):
        for field, value in zip(fields, row, strict=True):
            structs[field][0, index] = value
    return structs


def _row_of_texts(texts: Sequence[str] | Mapping[str, Any]) -> np.ndarray:
    cells = np.empty((1, len(texts)), object)
    cells[0, :] = list(texts)
    return cells


def write_matlab_folder(folder: Path, arrays: Arrays) -> Path:
    """Writes a network as matcaffe's arrays, a file for each: the axes of Caffe's in reverse order."""
    folder.mkdir()
    for layer, kernel, bias in layers(arrays):
        caffe = kernel.transpose(3, 2, 0, 1)
        caffe = caffe.reshape(len(caffe), -1) if is_dense(layer) else caffe
        name = layer.replace("/", "_")
        scipy.io.savemat(folder / f"{name}_w.mat", {"weights": caffe.T}, do_compression=True)
        scipy.io.savemat(folder / f"{name}_b.mat", {"bias": bias[:, None]}, do_compression=True)
    return folder


def write_tfjs(
    folder: Path,
    groups: Sequence[Sequence[tuple[dict[str, Any], bytes]]],
    *,
    shard_size: int = 1 << 20,
    change: Callable[[dict[str, Any]], None] = lambda model: None,
) -> Path:
    """Writes a TensorFlow.js model: groups of (entry of the manifest, bytes); `change` may spoil the description."""
    manifest = []
    for number, group in enumerate(groups, start=1):
        data = b"".join(content for _, content in group)
        parts = [data[start : start + shard_size] for start in range(0, len(data), shard_size)]
        paths = [f"group{number}-shard{part}of{len(parts)}.bin" for part in range(1, len(parts) + 1)]
        for name, part in zip(paths, parts, strict=True):
            (folder / name).write_bytes(part)
        manifest.append({"paths": paths, "weights": [entry for entry, _ in group]})
    model = {"format": "layers-model", "generatedBy": "a test", "modelTopology": {}, "weightsManifest": manifest}
    change(model)
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def write_tfjs_network(folder: Path, arrays: Arrays, *, shard_size: int = 4 << 20) -> Path:
    """Writes a network as float32, a group a layer as TensorFlow.js did before version 1."""
    folder.mkdir()
    groups = []
    for layer, kernel, bias in layers(arrays):
        pair = {"kernel": outputs_last(layer, kernel), "bias": bias}
        groups.append(
            [
                ({"name": f"{keras_name(layer)}/{role}", "shape": list(v.shape), "dtype": "float32"}, v.tobytes())
                for role, v in pair.items()
            ]
        )
    return write_tfjs(folder, groups, shard_size=shard_size)
