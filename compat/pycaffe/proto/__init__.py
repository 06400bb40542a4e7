"""`caffe.proto`: the messages of Caffe's files, as pycaffe offers them."""
