"""How it is made fast: twins of the chapters' functions, of the same names and signatures.

cpu.py and cuda.py hold them all. Beneath lie, for the CPU, threads, pointwise and bins; for both,
memory, gather, winograd with its parts, and convolution, which chooses between these; for the GPU,
kernels.
"""
