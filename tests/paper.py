"""The convolutions of the paper's network, written down once more for the tests."""

# At width 1, a block a line: name, side of the filter, channels in and out, side of the output at a
# 256 x 256 input. BatchNorm follows the last of blocks 1 to 7.
BLOCKS = """
    conv1_1 3 1 64 256, conv1_2 3 64 64 128
    conv2_1 3 64 128 128, conv2_2 3 128 128 64
    conv3_1 3 128 256 64, conv3_2 3 256 256 64, conv3_3 3 256 256 32
    conv4_1 3 256 512 32, conv4_2 3 512 512 32, conv4_3 3 512 512 32
    conv5_1 3 512 512 32, conv5_2 3 512 512 32, conv5_3 3 512 512 32
    conv6_1 3 512 512 32, conv6_2 3 512 512 32, conv6_3 3 512 512 32
    conv7_1 3 512 512 32, conv7_2 3 512 512 32, conv7_3 3 512 512 32
    conv8_1 4 512 256 64, conv8_2 3 256 256 64, conv8_3 3 256 256 64, conv8_313 1 256 313 64"""
ROWS = [row.split() for row in BLOCKS.replace(",", "\n").strip().splitlines()]
TABLE = [(name, *map(int, numbers)) for name, *numbers in ROWS]
NORMALISED = [64, 128, 256, 512, 512, 512, 512]
