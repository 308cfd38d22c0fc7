"""Chapter 10: how good are the colours?

python -m mini_colorize.evaluation --data DIR             the paper's table (section 3.1)
python -m mini_colorize.evaluation.turing --data DIR      the paper's experiment with people

measures.py    what is measured of one photo           published.py   the paper's own numbers
tally.py       sums over photos, with intervals        report.py      text, JSON, curves
systems.py     what is measured: baselines, networks   __main__.py    the command
run.py         the loop over the photos                checks.py      before the work begins
turing*.py     the test with people
"""
