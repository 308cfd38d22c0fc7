"""The paper's experiment with people: which of two pictures has fake colours? (section 3.1)

build.py   photos and their colourings -> pairs      score.py   what people saved -> a result
page.py    pairs <-> one page that works offline     sheet.py   the pairs that fooled most
"""
