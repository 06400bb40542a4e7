"""Front ends: import other frameworks' model files into the language. So far there is one, Caffe's."""
