"""Nets as other people write them, read into the language: so far Caffe's."""
