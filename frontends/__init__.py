"""Front ends: from files to graphs. Caffe's models are imported, and texts in the language are read."""
