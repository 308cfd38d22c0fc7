"""How it is made fast: twins of the chapters' functions, of the same names and signatures.

cpu.py and cuda.py hold them all. Beneath lie, for the CPU, threads, memory and pointwise; for both,
gather, winograd with its parts, convolution, which chooses between them; for the GPU, kernels.
"""
