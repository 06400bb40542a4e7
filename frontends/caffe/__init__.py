"""Imports Caffe nets: builds a graph from a NetParameter, each layer as operators of the language."""
