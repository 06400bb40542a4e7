"""Readers and writers of Caffe's file formats: prototxt, caffemodel, HDF5. Their meaning is in `frontends.caffe`."""
