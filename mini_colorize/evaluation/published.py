"""The paper's own numbers, to be laid beside ours; never to be mixed with them.

Table 1 of Zhang, Isola and Efros, ECCV 2016: the full-width network, trained on the 1.3 million
photos of ImageNet, measured on 10,000 of its validation photos. The balanced AuC weighs a pixel by
the inverse of the smoothed prior of ImageNet at its colour; ours by the inverse of its class's
count in the photos measured, with a minimum. The rule by which the area was taken is not stated.
"""

SOURCE = "Zhang et al. 2016, ImageNet validation, 10,000 photos, full width"
BALANCED = "balanced: ours counts the photos' classes alike, theirs weighs by ImageNet's prior"

# name, AuC raw, AuC balanced
ROWS = (
    ("gray", 89.1, 58.0),
    ("random", 84.2, 57.3),
    ("regression (L2)", 91.2, 64.4),
    ("classification", 91.6, 65.1),
    ("classification, rebalanced", 89.5, 67.3),
)
