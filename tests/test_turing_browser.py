"""The Turing test's page in a real Chromium: what people do, and what must not happen to them."""

import contextlib
import functools
import http.server
import json
import random
import re
import threading
import time

import browser
import pytest
from browser import CONTRAST, CUT_OFF, HURRY, NO_STORAGE, Participant, chromium, requests, seeded
from photographs import album, small_weights
from programs import flags

from mini_colorize.evaluation.turing import __main__ as turing
from mini_colorize.evaluation.turing.page import read_page

MISSING = browser.why_unavailable()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=str(MISSING))

TRIALS, PRACTICE, CHECKS = 20, 2, 2


def right(fake):
    return fake


def wrong(fake):
    return 1 - fake


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turing")
    photos = album(folder / "photos", TRIALS + PRACTICE, (96, 80))
    weights, page = small_weights(folder / "small.npz"), folder / "turing.html"
    options = dict(data=photos, weights=weights, device="cpu", side=64, out=page)
    options |= dict(trials=TRIALS, practice=PRACTICE, checks=CHECKS)
    assert turing.main(flags(**options)) == 0
    return page


@pytest.fixture
def sit(path):
    """`with sit() as person`: a Participant before the page, in a browser of their own."""

    @contextlib.contextmanager
    def seated(*size, **options):
        with chromium(*size, **options) as driver:
            yield Participant(driver, path, read_page(path))

    return seated


@pytest.fixture(scope="module")
def desk(path):
    """A Participant before the page, for tests that leave nothing behind but what is stored."""
    with chromium(scripts=[HURRY]) as driver:
        yield Participant(driver, path, read_page(path))


def test_who_always_finds_the_fake_is_never_fooled(sit, path, tmp_path):
    with sit(scripts=[HURRY], downloads=tmp_path) as person:
        log = person.take(right)
        assert len(log) == TRIALS + PRACTICE
        assert sorted(picture for picture, _, _ in log) == list(range(TRIALS + PRACTICE))
        assert {fake for _, fake, _ in log} == {0, 1}
        counted = TRIALS - CHECKS
        assert person.text("share") == "You took 0\u00a0% of the colourings for real"
        assert f"0 of {counted} fooled you" in person.text("meaning")
        # Wilson's upper end for 0 of 18 is z² / (n + z²) = 17.6 %.
        assert "from 0\u00a0% to 18\u00a0%" in person.text("meaning")
        assert f"{CHECKS} pairs checked your attention" in person.text("notes")
        assert f"You found {CHECKS}." in person.text("notes")
        assert person.text("found-title") == f"Found out: {counted}"
        person.wait("document.querySelectorAll('#found canvas').length == 36")
        person.click("save")
        saved = wait_for_file(tmp_path)
        assert json.loads(saved.read_text()) == person.report()
        assert person.driver.get_log("browser") == []  # no error, no warning
        assert requests(person.driver) == [path.resolve().as_uri()]
    assert turing.main(["score", str(saved), "--page", str(path), "--out", str(tmp_path)]) == 0
    score = json.loads((tmp_path / "score.json").read_text())
    assert (score["fooled_rate"], score["answers"]) == (0, counted)
    assert score["people"][0]["checks_found"] == CHECKS
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def wait_for_file(folder):
    end = time.monotonic() + 10
    while not (found := list(folder.glob("turing-*.json"))):
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.05)
    return found[0]


def test_served_page_asks_for_nothing_more(path):
    """Over HTTP the page is one request."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    serve = functools.partial(Handler, directory=path.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium() as driver:
            driver.get(f"http://127.0.0.1:{server.server_port}/{path.name}")
            time.sleep(1)
        server.shutdown()
    assert asked == [f"/{path.name}"]


def test_who_guesses_is_fooled_about_half_of_the_time(sit):
    guess = random.Random(3)
    with sit(scripts=[HURRY, seeded(5)]) as person:
        log = person.take(lambda _: guess.randrange(2))
        report, sides = person.report()["trials"], ("left", "right")
        told = [(t["picture"] - 1, t["fake"], t["chosen"]) for t in report]
        assert told == [(picture, sides[fake], sides[chosen]) for picture, fake, chosen in log]
        counted = [t for t in report if t["kind"] == "colouring"]
        fooled = sum(t["fake"] != t["chosen"] for t in counted)
        assert 5 <= fooled <= 13  # of 18
        assert f"{fooled} of 18 fooled you" in person.text("meaning")


def test_practice_tells_and_the_test_does_not(sit):
    with sit(scripts=[HURRY]) as person:
        person.begin()
        for choose, verdict in ((right, "Right"), (wrong, "Wrong")):
            _, fake = person.see()
            person.answer(choose(fake))
            assert verdict in person.text("task")
            side = ("left", "right")[fake]
            person.wait(f"say.textContent == '{verdict}. The {side} one was fake.'")
            assert not person.run("document.querySelector('#pair').classList.contains('shown')")
            person.click("next")
        assert person.screen() == "break" and person.text("practised") == "You found 1 of 2 fakes"
        person.click("start")
        _, fake = person.see()
        person.answer(right(fake))
        assert person.text("task") == "Ready?" and person.text("where") == "Pair 2 of 20"
        assert not re.search("right|wrong|correct", person.text("trial"), re.IGNORECASE)


def test_pair_is_hidden_after_one_second(sit):
    """In real time, as the page's own clock has it."""
    with sit() as person:
        person.begin()
        person.see()
        shown = person.run("eyes[0].gone - eyes[0].at")
        assert 990 < shown < 1150
        for canvas in ("#left canvas", "#right canvas"):
            look = f"document.querySelector('{canvas}')"
            assert person.run(f"{look}.width") == 0
            assert person.run(f"getComputedStyle({look}).visibility") == "hidden"
        # Another size of the window and keys do not bring it back.
        person.driver.set_window_size(700, 900)
        person.press("ENTER", "SPACE", "ESCAPE", "ARROW_UP")
        assert person.text("task") == "Which one was fake?" and person.run("eyes.length") == 1
        person.answer(0)
        trial = person.stored()["answers"][0]
        assert trial["shown"] == pytest.approx(shown, abs=40) and not trial["cut"]


def test_answers_before_the_question_are_ignored(sit):
    with sit() as person:
        person.begin()
        person.press("ARROW_LEFT")
        assert person.text("task") == "Ready?"
        person.click("next")
        person.wait("document.querySelector('.shown')")
        person.press("ARROW_LEFT", "ARROW_RIGHT")
        person.run("document.getElementById('left').click()")
        assert person.text("task") == "Look"
        person.wait_for_question()


@pytest.mark.parametrize("storage", [True, False])
def test_reload_keeps_the_place(sit, storage):
    with sit(scripts=[HURRY] + [NO_STORAGE] * (not storage)) as person:
        assert person.run("document.getElementById('refused').hidden") == storage
        before = person.take(right, stop=7)
        person.driver.refresh()  # between two pairs
        assert person.text("where") == "Pair 6 of 20" and person.text("task") == "Ready?"
        picture, fake = person.see()
        person.driver.refresh()  # while the question stands: nothing is shown again
        assert person.text("task") == "Which one was fake?"
        assert person.text("where") == "Pair 6 of 20" and person.run("eyes.length") == 0
        person.answer(right(fake))
        after = person.take(right)
        seen = [p for p, _, _ in before] + [picture] + [p for p, _, _ in after]
        assert sorted(seen) == list(range(TRIALS + PRACTICE))  # each once
        assert "0 of 18 fooled you" in person.text("meaning")
        person.driver.refresh()
        assert person.screen() == "done" and "0 of 18" in person.text("meaning")


def test_reload_while_the_pair_is_on_show(sit):
    """It is not shown again, and as it was not seen for its second, it does not count."""
    with sit() as person:
        person.take(right, stop=2)
        person.click("next")
        person.click("start")
        person.click("next")
        person.wait("document.querySelector('.shown')")
        person.driver.refresh()
        assert person.text("task") == "Which one was fake?" and person.run("eyes.length") == 0
        assert "will not count" in person.text("hint")
        person.answer(0)
        assert person.text("where") == "Pair 2 of 20"
        assert [a["cut"] for a in person.stored()["answers"]] == [False, False, True]


def test_browser_killed_while_the_pair_is_on_show(sit):
    """What is stored then is the phase `showing`; nothing had time to store more."""
    with sit(scripts=[HURRY]) as person:
        person.take(right, stop=1)
        person.click("next")
        person.come_back(json.dumps({**person.stored(), "phase": "showing"}))
        assert person.text("task") == "Which one was fake?" and person.run("eyes.length") == 0
        assert person.text("where") == "Practice, pair 2 of 2"
        assert "will not count" in person.text("hint")


def test_hidden_tab_ends_the_show(sit):
    with sit() as person:
        person.begin()
        person.click("next")
        person.wait("document.querySelector('.shown')")
        here = person.driver.current_window_handle
        person.driver.switch_to.new_window("tab")
        person.driver.switch_to.window(here)
        assert person.text("task") == "Which one was fake?"
        assert "will not count" in person.text("hint")


def test_two_tabs_do_not_give_two_looks(sit, path):
    with sit(scripts=[HURRY]) as person:
        person.take(right, stop=1)
        person.click("next")
        first = person.driver.current_window_handle
        person.driver.switch_to.new_window("tab")
        person.driver.get(path.resolve().as_uri())
        assert person.text("where") == "Practice, pair 2 of 2"
        person.click("next")
        person.wait_for_question()
        person.driver.switch_to.window(first)
        person.wait("!document.getElementById('elsewhere').hidden")
        person.click("here")
        person.wait_for_question()  # the same question, and no second look
        assert person.run("eyes.length") == 0


JUNK = ["{", "null", "[]", '{"seed": 1, "phase": "done", "answers": []}']
JUNK.append('{"seed": 1, "phase": "ready", "answers": [{"side": 7}]}')
EDITS = """
    {"phase": "break", "answers": []}   {"phase": "break"}   {"phase": "feedback"}   {"phase": "done"}
    {"phase": "welcome"}   {"phase": "toString"}   {"seed": -1}   {"seed": 1099511627776}
    {"seed": "1"}   {"cut": "no"}   {"started": {}}   {"finished": 7}   {"answers": {"length": 3}}
    {"answers": [null, null, null]}   {"answers": [{"side": 0, "cut": {}, "ms": 1, "shown": 1}]}
    {"answers": [{"side": 0, "cut": false, "ms": "1", "shown": 1}]}
    {"answers": [{"side": 0, "cut": false, "ms": 1}]}
    {"answers": [{"side": [0], "cut": false, "ms": 1, "shown": 1}]}"""


@pytest.mark.parametrize("edit", [*JUNK, *re.split(r" {3,}|\n +", EDITS.strip())])
def test_a_damaged_and_an_edited_state_start_anew(desk, edit):
    """Of one after three pairs, which can be gone on with as it is."""
    answer = {"side": 0, "ms": None, "shown": 1000, "cut": False}
    state = {"seed": 1, "phase": "ready", "cut": False, "started": "now", "finished": None}
    state["answers"] = [answer] * 3
    spoilt = edit if edit in JUNK else json.dumps(state | json.loads(edit))
    for text, screen in ((json.dumps(state), "trial"), (spoilt, "welcome")):
        desk.come_back(text)
        assert desk.screen() == screen
    assert desk.driver.get_log("browser") == []


def test_a_browser_that_cannot_decode_the_pictures(sit):
    """It is told so before anything counts, and can be tried again."""
    broken = "window.createImageBitmap = () => Promise.reject(new Error('no such codec'));"
    with sit(scripts=[broken]) as person:
        assert person.run("document.getElementById('undecoded').hidden")
        person.click("begin")
        person.wait("!document.getElementById('undecoded').hidden")
        assert person.screen() == "welcome"
        assert person.stored()["answers"] == []
        assert person.run(CONTRAST) == [] and person.run(CUT_OFF) == []


def test_keyboard_alone(sit):
    """Tab, Enter, Space and the arrows get from the first screen to the result."""
    with sit(scripts=[HURRY]) as person:
        person.press("TAB")
        assert person.run("document.activeElement.id") == "begin"
        assert person.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        person.press("ENTER")
        person.wait("!document.getElementById('trial').hidden")
        for n in range(PRACTICE + TRIALS):
            if person.screen() == "break":
                person.press("TAB", "ENTER")
            assert person.run("document.activeElement.id") == "next"  # no search for it
            person.press("SPACE" if n % 2 else "ENTER")
            person.wait_for_question()
            if n % 3:
                person.press("ARROW_LEFT")
            else:
                person.press("TAB", "TAB")
                assert person.run("document.activeElement.id") == "right"
                person.press("ENTER")
            if n < PRACTICE:
                person.press("ENTER")
        assert person.screen() == "done"
        chosen = [t["chosen"] for t in person.report()["trials"]]
        assert chosen == ["left" if n % 3 else "right" for n in range(PRACTICE + TRIALS)]
        person.press("TAB")
        assert person.run("document.activeElement.id") == "save"


def test_touch(sit):
    with sit(360, 740, scripts=[HURRY]) as person:
        person.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        tap(person.driver, "begin")
        person.wait("!document.getElementById('trial').hidden")
        tap(person.driver, "next")
        person.wait_for_question()
        tap(person.driver, ("left", "right")[person.judge()[1]])
        assert "Right" in person.text("task")


def tap(driver, name):
    x, y = driver.execute_script(
        "const b = document.getElementById(arguments[0]); b.scrollIntoView({block: 'nearest'});"
        "const r = b.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]",
        name,
    )
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_nothing_tells_which_is_fake(path):
    """Whichever side the fake is on, the document and the storage read the same."""
    documents, sides = set(), set()
    with chromium(scripts=[HURRY]) as driver:
        for seed in range(40):
            script = {"source": seeded(seed)}
            added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
            person = Participant(driver, path, read_page(path))
            person.begin()
            _, fake = person.see()
            sides.add(fake)
            stored = json.loads(next(iter(json.loads(person.run("eyes[0].stored")).values())))
            assert stored.pop("seed") == seed and stored.pop("started")
            assert stored == {"phase": "showing", "cut": False, "finished": None, "answers": []}
            documents.add(person.run("eyes[0].html"))
            documents.add("asked" + person.run("document.documentElement.outerHTML"))
            person.run("localStorage.clear()")
            driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
            if sides == {0, 1} and seed > 4:
                break
        assert sides == {0, 1} and len(documents) == 2
        # Nor does a variable that anyone may read.
        names = "'state', 'trials', 'draw', 'kinds', 'jpegs'"
        assert not person.run(f"[{names}].filter((n) => n in window)")


SCREENS = [(360, 740, 100), (360, 740, 200), (320, 640, 100), (740, 360, 100)]


@pytest.mark.parametrize("width, height, text", SCREENS)
def test_small_screens_cut_nothing_off(sit, width, height, text):
    with sit(width, height, scripts=[HURRY]) as person:
        person.run(f"document.documentElement.style.fontSize = '{text}%'")
        seen = set()

        def check():
            seen.add(person.screen())
            assert person.run("document.documentElement.scrollWidth") <= width
            assert person.run(CUT_OFF) == []

        check()
        person.begin()
        check()
        if text == 100:  # one trial fits: no scrolling between looking and answering
            button = "document.getElementById('next').getBoundingClientRect()"
            assert person.run(f"{button}.bottom <= innerHeight")
        for n in range(PRACTICE + TRIALS):
            person.see()
            if n == 0:
                check()
            person.answer(0)
            if n < PRACTICE:
                check()
                person.click("next")
            if person.screen() == "break":
                check()
                person.click("start")
        person.wait("document.querySelectorAll('.card').length == 18")
        check()
        assert seen == {"welcome", "trial", "break", "done"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(sit, scheme):
    """WCAG AA: 4.5 for every text, 3 for the edges of what can be pressed."""
    with sit(scripts=[HURRY], media=[("prefers-color-scheme", scheme)]) as person:
        for step in (person.begin, lambda: person.click("next"), person.wait_for_question):
            assert person.run(CONTRAST) == []
            step()
        assert person.run(CONTRAST) == []
        person.answer(0)
        person.click("next")
        person.take(wrong)
        assert person.run(CONTRAST) == []


def test_reduced_motion(sit):
    for wish, moves in (("reduce", False), ("no-preference", True)):
        with sit(media=[("prefers-reduced-motion", wish)]) as person:
            moving = person.run(
                "[...document.querySelectorAll('*')].some((e) => "
                "getComputedStyle(e).transitionDuration != '0s' || "
                "getComputedStyle(e).animationName != 'none')"
            )
            assert moving == moves


def test_next_person_starts_anew(sit):
    with sit(scripts=[HURRY]) as person:
        person.take(right)
        first = person.report()["participant"]
        person.click("again")
        person.driver.switch_to.alert.dismiss()
        assert person.screen() == "done"
        person.click("again")
        person.driver.switch_to.alert.accept()
        assert person.screen() == "welcome"
        person.take(wrong)
        assert person.report()["participant"] != first
        assert "18 of 18 fooled you" in person.text("meaning")
