"""Weights of other frameworks in and out: torchvision, timm, Caffe; their files; and
recurrent ones of PyTorch, Flax and Keras."""
