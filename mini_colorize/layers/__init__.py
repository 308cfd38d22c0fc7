"""Chapter 3: the layers, forward and backward, as functions: what goes in, comes out.

    3a  conv.py             convolution              3d  relu.py        bias and ReLU
    3b  conv_transpose.py   transposed convolution   3e  upsample.py    bilinear upsampling
    3c  batchnorm.py        batch normalisation

Pictures are (N, H, W, C). dt is the gradient of the loss with respect to t, of t's shape and dtype.
Nothing is overwritten, and nothing is kept: what backward needs is among its arguments. Layers with
state are in modules.py, the fast versions in fast/.
"""
