"""How it is made fast: twins of the chapters' functions, of the same names and signatures.

cpu.py and cuda.py hold them all. Beneath lie, for both, memory, batchnorm, gather, winograd, and
convolution, which chooses between these two; they are given what differs, from steps_cpu and
steps_cuda. For the CPU threads, pointwise, bins, windows, winograd_cpu; for the GPU kernels, graphs.
"""
