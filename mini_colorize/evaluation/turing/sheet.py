"""The pictures of the Turing test that fooled most people, and those that fooled fewest."""

from PIL import Image, ImageDraw, ImageFont

MOST = 8  # pictures in each of the two columns
TILE, GAP, LINE = 192, 8, 26  # pixels: a picture's side, between pictures, a line of text


def draw_sheet(pictures, page):
    """pictures: from score.pool, most fooling first. page: a Page. Returns a PIL image.

    Left the best, right the worst; each row a photo beside its colouring.
    """
    count = min(MOST, (len(pictures) + 1) // 2)
    best, worst = pictures[:count], pictures[count:][::-1][:count]
    column = 2 * TILE + GAP
    size = (2 * column + 5 * GAP, 2 * LINE + GAP + count * (TILE + LINE + GAP))
    sheet = Image.new("RGB", size, "white")
    titles = ("Most often taken for real", "Most often found out")
    for i, (title, rows) in enumerate(zip(titles, (best, worst), strict=True)):
        x = GAP + i * (column + 3 * GAP)
        _text(sheet, (x, GAP), title, 20)
        for row, picture in enumerate(rows):
            y = 2 * LINE + row * (TILE + LINE + GAP)
            _row(sheet, (x, y), picture, page)
    return sheet


def _row(sheet, corner, picture, page):
    """A caption, the photo and the colouring. corner: (x, y) of the caption."""
    x, y = corner
    share = picture["fooled"] / picture["seen"]
    caption = f"picture {picture['picture']}: real | fake, fooled {picture['fooled']} of "
    _text(sheet, corner, f"{caption}{picture['seen']} ({share:.0%})", 14)
    for i, image in enumerate(page.pair(picture["picture"] - 1)):
        tile = image.resize((TILE, TILE), Image.Resampling.LANCZOS)
        sheet.paste(tile, (x + i * (TILE + GAP), y + LINE - 4))


def _text(sheet, corner, text, size):
    ImageDraw.Draw(sheet).text(corner, text, fill="black", font=ImageFont.load_default(size))
