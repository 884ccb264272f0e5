"""The ten digits as 7x12 bitmaps: the fixed targets of LeNet-5's output units.

Any stylised set serves; these were drawn for this project. Codes that differ in many
places make confusable digits easier to tell apart than one-of-ten codes would
(LeCun et al. 1998, section II-B).
"""

_GLYPHS = """
.#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .####.. .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##..### ...##.. ....##. .....## ##..##. ######. ######. ....##. .##.##. ##...##
##.#.## ...##.. ...##.. ..####. ##..##. ##...## ##...## ...##.. ..###.. .######
###..## ...##.. ..##... .....## ####### .....## ##...## ...##.. .##.##. .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## .##.... ##...## ....##.
##...## ...##.. ##..... ##...## ....##. ##...## ##...## .##.... ##...## ...##..
.#####. .###### ####### .#####. ....##. .#####. .#####. .##.... .#####. .###...
"""


def _parse(glyphs: str) -> tuple[tuple[int, ...], ...]:
    rows = [line.split() for line in glyphs.split("\n") if line]
    digits = zip(*rows, strict=True)
    return tuple(
        tuple(1 if mark == "#" else -1 for row in digit for mark in row)
        for digit in digits
    )


BITMAPS = _parse(_GLYPHS)  # 10 classes x 84 values, rows top to bottom
