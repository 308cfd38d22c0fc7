"""What lies on a disk.

disk.py         written whole or not at all; a folder for one process
images.py       a picture file in     repair.py    of what is damaged
canonical.py    a picture of any kind -> 8-bit sRGB, upright
results.py      the pictures that this program makes
checkpoint.py   networks and training states
foreign.py      the authors' weights: pickled.py of torch, caffe.py; later.py: not read yet
config.py       what a run was asked to do
"""
