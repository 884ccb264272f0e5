"""Weights of other frameworks in and out: torchvision, timm, Caffe; their files."""
