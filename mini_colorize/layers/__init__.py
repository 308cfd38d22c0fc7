"""Chapters 3 to 6 and 11: the layers, forward and backward, as functions: what goes in, comes out.

    3  relu.py    bias and ReLU           6   batchnorm.py   batch normalisation
    4  conv.py    convolution             11  upsample.py    bilinear upsampling
    5  conv_transpose.py   transposed convolution

Pictures are (N, H, W, C). dt is the gradient of the loss with respect to t, of t's shape and dtype.
Nothing is overwritten, and nothing is kept: what backward needs is among its arguments. Layers with
state are in modules.py, the fast versions in fast/.
"""
