"""Stand-ins for the interfaces that people's scripts call: OpenCV's cv2.dnn and Caffe's Python module."""
