"""Caffe nets: the rules that make a list of layers a net, and each layer as operators of the language."""
