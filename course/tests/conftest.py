"""Says at the end what was checked, and how often."""

WHAT = {
    "test_the_package_has": "answers of the package are right",
    "test_a_stub": "stubs are said to be unwritten",
    "test_a_wrong_answer": "wrong answers are told what is wrong",
    "test_a_chapter_shows": "chapters show what their code prints",
    "test_a_figure": "figures are as they are drawn",
}


def pytest_terminal_summary(terminalreporter):
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ())]
    for test, what in WHAT.items():
        count = sum(f"::{test}" in name for name in passed)
        if count:
            terminalreporter.write_line(f"{count:>4} {what}")
