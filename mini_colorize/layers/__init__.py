"""Chapter 3: the layers, forward and backward, as functions: what goes in, comes out.

Pictures are (N, H, W, C). Nothing is overwritten, and nothing is kept: what backward needs is
among its arguments. What has state stands in modules.py, how it is made fast in fast/.
"""
