"""Chapter 12: how good are the colours?

python -m mini_colorize.evaluation --data DIR             the paper's table (section 3.1)
python -m mini_colorize.evaluation.turing --data DIR      the paper's experiment with people

systems.py     what is measured: baselines, networks   evaluate.py    the loop over the photos
tally.py       sums over photos, with intervals        report.py      text, JSON, curves
published.py   the paper's own numbers                 turing/        the test with people

What is measured of one photo: measures.py, one folder up.
"""
