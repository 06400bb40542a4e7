"""Preprocessings of well-known models, by name: what their authors' own scripts do to a picture."""

from __future__ import annotations

from collections.abc import Mapping

from .preprocessing import Preprocessing

PRESETS: Mapping[str, Preprocessing] = {
    # BVLC/caffe, models/*: pictures of 256x256, of which the net's input is cut; its mean per channel
    "caffenet": Preprocessing(mean=(104, 117, 123), resize=(256, 256)),
    # VGG, ResNet (He et al.), SSD (Liu et al.), FCN: the same means, the whole picture
    "vgg": Preprocessing(mean=(103.939, 116.779, 123.68)),
    "ssd": Preprocessing(mean=(104, 117, 123)),
    # shicai/MobileNet-Caffe, shicai/DenseNet-Caffe: eval_image.py
    "mobilenet": Preprocessing(mean=(103.94, 116.78, 123.68), scale=0.017, resize=(256, 256)),
    # chuanqi305/MobileNet-SSD: demo.py
    "mobilenet-ssd": Preprocessing(mean=(127.5, 127.5, 127.5), scale=0.007843),
    # opencv/opencv, samples/dnn/face_detector: the SSD of ResNet-10 for faces
    "face-ssd": Preprocessing(mean=(104, 177, 123)),
    # Levi and Hassner 2015, age and gender: the means of its training set, as most scripts have them
    "age-gender": Preprocessing(mean=(78.4263377603, 87.7689143744, 114.895847746)),
    # yahoo/open_nsfw: classify_nsfw.py
    "open-nsfw": Preprocessing(mean=(104, 117, 123), resize=(256, 256)),
    # MTCNN (Zhang et al. 2016), as DuinoDu/mtcnn's demo.py
    "mtcnn": Preprocessing(mean=(127.5, 127.5, 127.5), scale=0.0078125, bgr=False),
    # CMU-Perceptual-Computing-Lab/openpose, as scripts for OpenCV have it
    "openpose": Preprocessing(scale=1 / 255),
    # s9xie/hed: the means of VGG's data as examples/hed has them
    "hed": Preprocessing(mean=(104.00698793, 116.66876762, 122.67891434)),
}
"""Sizes that are not given are the net's own."""
