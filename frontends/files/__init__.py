"""The files that nets come in, read and written: prototxt, caffemodel, HDF5. What they mean is told elsewhere."""
