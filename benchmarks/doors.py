"""Times the loops of scripts for cv2.dnn: unmodified code that runs by OpenCV 4.14 or by `cortado.compat.opencv`.

    pip install --target FOLDER opencv-python-headless==4.14.0.94
    python benchmarks/doors.py --opencv FOLDER --models FOLDER        writes results/doors.json; some minutes

The two run the same loop in processes of their own and take turns; pictures are read and prepared by OpenCV in both, so
that only the net differs. `--models` is a folder of published models, in the folders that LOOPS names. A call is one
frame. The ratio is OpenCV's median over ours: above 1 we are faster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count, cycle
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

from cortado.benchmarks.engines import EngineProcess, Row, commit, require_equal  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "doors.json"
PEER, OURS = "OpenCV", "cortado"
Frame = Callable[[], Any]  # computes one frame
Scale = tuple[int, int]  # height and width


def read(dnn: Any, *files: Path) -> Any:
    return dnn.readNetFromCaffe(*map(str, files))


def pictures(models: Path, *names: str) -> Iterator[Any]:
    """Pictures in turns, as the frames of a video."""
    import cv2

    return cycle([cv2.imread(str(models / name)) for name in names])


def mobilenet_ssd(dnn: Any, models: Path) -> Frame:
    """Objects in frames of a video, each resized to 300x300."""
    import cv2

    folder = models / "mobilenet-ssd"
    net = read(dnn, folder / "MobileNetSSD_deploy.prototxt", folder / "MobileNetSSD_deploy.caffemodel")
    frames = pictures(folder, "000067.jpg", "000542.jpg", "001763.jpg", "004545.jpg")

    def frame() -> Any:
        net.setInput(cv2.dnn.blobFromImage(cv2.resize(next(frames), (300, 300)), 0.007843, (300, 300), 127.5))
        return net.forward()

    return frame


def res10_faces(dnn: Any, models: Path) -> Frame:
    """Faces in frames of a video, each resized to 300x300."""
    import cv2

    folder = models / "res10-ssd-face"
    net = read(dnn, folder / "deploy.prototxt.txt", folder / "res10_300x300_ssd_iter_140000.caffemodel")
    frames = pictures(models / "ultra-light-face", "1.jpg", "2.jpg", "13.jpg")

    def frame() -> Any:
        net.setInput(cv2.dnn.blobFromImage(cv2.resize(next(frames), (300, 300)), 1.0, (300, 300), (104, 177, 123)))
        return net.forward()

    return frame


def open_nsfw(dnn: Any, models: Path) -> Frame:
    """One picture at a time through a ResNet."""
    import cv2

    folder = models / "open-nsfw"
    net = read(dnn, folder / "deploy.prototxt", folder / "resnet_50_1by2_nsfw.caffemodel")
    frames = pictures(models / "mobilenet-ssd", "000067.jpg", "000542.jpg")

    def frame() -> Any:
        net.setInput(cv2.dnn.blobFromImage(next(frames), 1.0, (224, 224), (104, 117, 123)))
        return net.forward()

    return frame


def squeezenet(dnn: Any, models: Path) -> Any:
    folder = models / "squeezenet-v1.1"
    return read(dnn, folder / "squeezenet_v1.1.prototxt", folder / "squeezenet_v1.1.caffemodel")


def oversampled(dnn: Any, models: Path) -> Frame:
    """Ten crops of a picture as one batch, as classify.py takes them."""
    import cv2
    import numpy as np

    net, frames = squeezenet(dnn, models), pictures(models / "squeezenet-v1.1", "cat.jpg")

    def frame() -> Any:
        image = cv2.resize(next(frames), (256, 256))
        corners = [(y, x) for y in (0, 29) for x in (0, 29)] + [(14, 14)]
        crops = [image[y : y + 227, x : x + 227] for y, x in corners]
        crops += [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
        net.setInput(cv2.dnn.blobFromImages(crops, 1.0, (227, 227), (104, 117, 123)))
        return net.forward()

    return frame


def changing_batches(dnn: Any, models: Path) -> Frame:
    """As many crops as there happen to be in a frame, 1 to 8, as one batch."""
    import cv2

    net, frames = squeezenet(dnn, models), pictures(models / "squeezenet-v1.1", "cat.jpg")
    sizes = cycle((3, 1, 4, 8, 5, 2, 6, 7))

    def frame() -> Any:
        crop = cv2.resize(next(frames), (227, 227))
        net.setInput(cv2.dnn.blobFromImages([crop] * next(sizes), 1.0, (227, 227), (104, 117, 123)))
        return net.forward()

    return frame


def mtcnn(dnn: Any, models: Path, frame_sizes: Iterator[Scale]) -> Frame:
    """The three nets of MTCNN: the first on a pyramid of the frame, the others on crops of it."""
    import cv2
    import numpy as np

    folder, wanted = models / "mtcnn", (["conv4-2", "prob1"], ["conv5-2", "prob1"], ["conv6-2", "conv6-3", "prob1"])
    nets = [read(dnn, folder / f"det{i}.prototxt", folder / f"det{i}.caffemodel") for i in (1, 2, 3)]
    image: Any = cv2.imread(str(folder / "test1.jpg"))
    crops = cycle((12, 9, 15, 7))

    def frame() -> Any:
        height, width = next(frame_sizes)
        picture = (cv2.resize(image, (width, height)).astype(np.float32) - 127.5) * 0.0078125
        scale, maps = 0.6, []
        while min(height, width) * scale >= 12:
            level = cv2.resize(picture, None, fx=scale, fy=scale)
            nets[0].setInput(np.ascontiguousarray(level.transpose(2, 1, 0)[None]))
            maps += [m.reshape(-1)[:9] for m in nets[0].forward(wanted[0])]
            scale *= 0.709
        for i, size in ((1, 24), (2, 48)):
            faces = [cv2.resize(picture, (size, size)).transpose(2, 1, 0)] * next(crops)
            nets[i].setInput(np.stack(faces))
            maps += [m.reshape(-1)[:9] for m in nets[i].forward(wanted[i])]
        return np.concatenate(maps)

    return frame


def same_size() -> Iterator[Scale]:
    return cycle([(360, 480)])


def new_sizes() -> Iterator[Scale]:
    """Another size in each frame, as of pictures from a folder."""
    return ((300 + 7 * i % 121, 400 + 11 * i % 163) for i in count())


LOOPS: Mapping[str, Callable[[Any, Path], Frame]] = {
    "MobileNet-SSD, a video": mobilenet_ssd,
    "res10 faces, a video": res10_faces,
    "open_nsfw, one picture": open_nsfw,
    "SqueezeNet, ten crops": oversampled,
    "SqueezeNet, 1 to 8 crops": changing_batches,
    "MTCNN, a video": lambda dnn, models: mtcnn(dnn, models, same_size()),
    "MTCNN, a new size in each frame": lambda dnn, models: mtcnn(dnn, models, new_sizes()),
}


def measure_loop(loop: str, opencv: Path, models: Path, turns: int, calls: int, warm: int) -> Row:
    """The ratio of medians, and by engine ms of a frame, seconds until the first one, and the peak of memory."""
    words = [__file__, "--opencv", str(opencv), "--models", str(models), "--loop", loop, "--serve"]
    running = {name: EngineProcess(name, [*words, name]) for name in (PEER, OURS)}
    require_equal({name: process.outputs for name, process in running.items()})
    times: dict[str, list[float]] = {name: [] for name in running}
    for process in running.values():
        process.run(warm)
    for _ in range(turns):
        for name, process in running.items():
            times[name] += process.run(calls)
    ms = {name: round(1e3 * median(found), 2) for name, found in times.items()}
    row = {
        "loop": loop,
        "ratio": round(ms[PEER] / ms[OURS], 2),
        "ms": ms,
        "ms_95th": {name: round(1e3 * sorted(t)[len(t) * 95 // 100], 2) for name, t in times.items()},
        "first_frame_s": {name: round(process.load_seconds, 2) for name, process in running.items()},
        "peak_mib": {name: process.peak_memory() >> 20 for name, process in running.items()},
    }
    for process in running.values():
        process.close()
    print(json.dumps(row), flush=True)
    return row


def serve(engine: str, loop: str, models: Path) -> None:
    """The process of an engine. Both have OpenCV, which reads and prepares pictures."""
    import cv2

    from cortado.benchmarks.engines import answer_calls

    if engine == OURS:
        from cortado.compat import opencv

        dnn: Any = opencv
    else:
        dnn = cv2.dnn
    answer_calls(lambda: LOOPS[loop](dnn, models))


def main() -> None:
    parser = argparse.ArgumentParser(description="Loops of scripts for cv2.dnn, by OpenCV and by cortado in turns.")
    parser.add_argument("--opencv", type=Path, required=True, help="the folder with OpenCV 4.14's package cv2")
    parser.add_argument("--models", type=Path, required=True, help="the folder of published models")
    parser.add_argument("--turns", type=int, default=12, help="of each engine (default 12)")
    parser.add_argument("--calls", type=int, default=10, help="frames in a turn (default 10)")
    parser.add_argument("--warm", type=int, default=80, help="frames before the first turn (default 80)")
    parser.add_argument("--loop", choices=LOOPS, action="append", help="which loops; default: all")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--serve", metavar="ENGINE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        sys.path.insert(0, str(asked.opencv))
        serve(asked.serve, asked.loop[0], asked.models)
        return
    rows = [
        measure_loop(loop, asked.opencv, asked.models, asked.turns, asked.calls, asked.warm)
        for loop in asked.loop or LOOPS
    ]
    document = {"commit": commit(), "cores": os.cpu_count(), "turns": asked.turns, "calls": asked.calls, "rows": rows}
    asked.output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
