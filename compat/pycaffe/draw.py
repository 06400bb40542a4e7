"""`caffe.draw`: a net as a drawing of layers and blobs, by Graphviz; it needs the packages pydot and graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...runtime.output import write_file
from .proto import caffe_pb2

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}
COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
LEARNT = ("Convolution", "Deconvolution", "InnerProduct")


def get_pooling_types_dict() -> dict[int, str]:
    """The names of pooling methods by number."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: Any) -> str:
    """What stands at a layer's tops: the batch size, or the number of outputs."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else '""'


def get_layer_lr_mult(layer: Any) -> tuple[float, float]:
    """The learning rates of a layer's weights and biases, as factors. ValueError for a type that has none."""
    if layer.type not in LEARNT:
        raise ValueError(f"{layer.type} layers have no learning rates")
    if len(layer.param) > 2:
        raise ValueError(f'layer "{layer.name}" has learning rates for {len(layer.param)} blobs, and it has two')
    first, second = [*(param.lr_mult for param in layer.param), 1.0, 1.0][:2]
    return first, second


def get_layer_label(layer: Any, rankdir: str, display_lrm: bool = False) -> str:
    """The text of a layer's node: name, type, the sizes of its windows, on request the learning rates."""
    pooling = layer.type == "Pooling"
    lines = [
        layer.name,
        f"({layer.type} {get_pooling_types_dict()[layer.pooling_param.pool]})" if pooling else f"({layer.type})",
    ]
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    if pooling or layer.type in ("Convolution", "Deconvolution"):
        kernel, stride, pad = window_of(layer)
        lines.append(separator.join((f"kernel size: {kernel}", f"stride: {stride}", f"pad: {pad}")))
    if display_lrm and layer.type in LEARNT and any(rates := get_layer_lr_mult(layer)):
        lines.append(f"lr mult: {rates[0]:.1f}, {rates[1]:.1f}")
    return f'"{separator.join(lines)}"'


def window_of(layer: Any) -> tuple[int, int, int]:
    """Kernel size, stride and pad of a layer with windows."""
    if layer.type == "Pooling":
        return layer.pooling_param.kernel_size, layer.pooling_param.stride, layer.pooling_param.pad
    settings = layer.convolution_param
    kernel, stride, pad = (list(f)[:1] for f in (settings.kernel_size, settings.stride, settings.pad))
    return (kernel or [1])[0], (stride or [1])[0], (pad or [0])[0]


def choose_color_by_layertype(layertype: str) -> str:
    """The color of a layer's node."""
    return COLORS.get(layertype, "#6495ED")


def is_included(layer: Any, phase: int | None) -> bool:
    """Whether a layer is part of the net in a phase; None is any. ValueError for one with both kinds of rules."""
    if layer.include and layer.exclude:
        raise ValueError(f'layer "{layer.name}" has rules to include and to exclude it, and may have only one kind')
    if phase is None:
        return True
    if layer.include:
        return any(rule.phase == phase for rule in layer.include)
    return all(rule.phase != phase for rule in layer.exclude)


def get_pydot_graph(
    caffe_net: Any, rankdir: str, label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> Any:
    """A graph of pydot's from a NetParameter. ImportError, saying what to install, without pydot."""
    try:
        import pydot
    except ImportError:
        raise ImportError(
            "drawing needs pydot and Graphviz: pip install cortado-caffe[pycaffe]; apt install graphviz"
        ) from None
    graph = pydot.Dot(caffe_net.name or "Net", graph_type="digraph", rankdir=rankdir)
    kept = [layer for layer in caffe_net.layer if is_included(layer, phase)]
    for name, label, style in nodes_of(kept, rankdir, display_lrm):
        graph.add_node(pydot.Node(quote(name), label=label, **style))
    for layer in kept:
        own = quote(f"{layer.name}_{layer.type}")
        for bottom in layer.bottom:
            graph.add_edge(pydot.Edge(quote(f"{bottom}_blob"), own, label='""'))
        for top in layer.top:
            graph.add_edge(pydot.Edge(own, quote(f"{top}_blob"), label=get_edge_label(layer) if label_edges else '""'))
    return graph


def nodes_of(kept: list[Any], rankdir: str, display_lrm: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the name, label and style of each layer's node, and, once, of each blob's."""
    blobs = dict.fromkeys(name for layer in kept for name in (*layer.bottom, *layer.top))
    for layer in kept:
        in_place = len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)
        style = (
            NEURON_LAYER_STYLE
            if in_place
            else LAYER_STYLE_DEFAULT | {"fillcolor": choose_color_by_layertype(layer.type)}
        )
        yield f"{layer.name}_{layer.type}", get_layer_label(layer, rankdir, display_lrm), style
    for name in blobs:
        yield f"{name}_blob", quote(name), BLOB_STYLE


def quote(name: str) -> str:
    """A name as Graphviz reads any."""
    escaped = name.replace('"', r"\"")
    return f'"{escaped}"'


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """The drawing of a NetParameter as the bytes of a file of a type: "png", "pdf", "svg", "raw".

    FileNotFoundError, saying what to install, without Graphviz.
    """
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    try:
        made: bytes = graph.create(format=ext)
    except FileNotFoundError:
        raise FileNotFoundError(
            "drawing needs Graphviz, whose program dot is not found: apt install graphviz"
        ) from None
    return made


def draw_net_to_file(
    caffe_net: Any, filename: str, rankdir: str = "LR", phase: int | None = None, display_lrm: bool = False
) -> None:
    """Write the drawing to a file; its ending is the type."""
    write_file(filename, draw_net(caffe_net, rankdir, Path(filename).suffix[1:], phase, display_lrm))
