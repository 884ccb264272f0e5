"""Numbers and dates written out in English words, and in digits, without end.

four hundred and two thousand and seventeen      402017
the twenty-third of march nineteen eighty-four   1984-03-23
"""

from collections.abc import Sequence
from datetime import date, timedelta

from jnets.data.dataset import random_bits

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ((10**6, "million"), (10**3, "thousand"))
MONTHS = (
    "january february march april may june july august september october november "
    "december"
).split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
DIGITS = 9  # of the longest number
# seven hundred and one million ... and ten; yyyy-mm-dd
MOST_WORDS, MOST_DIGITS = 14, 10
FIRST, LAST = date(1100, 1, 1), date(2099, 12, 31)


def cardinal(number: int, *, joined: bool = True) -> str:
    """A number below a milliard in words; with `joined`, "and" before what is below a
    hundred, as in British use.

    >>> cardinal(402017)
    'four hundred and two thousand and seventeen'
    >>> cardinal(402017, joined=False)
    'four hundred two thousand seventeen'
    """
    for scale, name in SCALES:
        if number >= scale:
            head = f"{cardinal(number // scale, joined=joined)} {name}"
            return _with_rest(head, number % scale, joined)
    if number >= 100:
        return _with_rest(f"{ONES[number // 100]} hundred", number % 100, joined)
    if number < 20:
        return ONES[number]
    tens = TENS[number // 10 - 2]
    return tens if number % 10 == 0 else f"{tens}-{ONES[number % 10]}"


def _with_rest(head: str, rest: int, joined: bool) -> str:
    if not rest:
        return head
    link = " and " if joined and rest < 100 else " "
    return head + link + cardinal(rest, joined=joined)


def ordinal(number: int) -> str:
    """A day of a month.

    >>> ordinal(23), ordinal(12), ordinal(30)
    ('twenty-third', 'twelfth', 'thirtieth')
    """
    head, dash, last = cardinal(number).rpartition("-")
    if last in ORDINALS:
        last = ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return head + dash + last


def year(number: int) -> str:
    """As it is said.

    >>> year(1984), year(1905), year(1900), year(2007)
    ('nineteen eighty-four', 'nineteen oh five', 'nineteen hundred', \
'two thousand and seven')
    """
    century, rest = divmod(number, 100)
    if century % 10 == 0:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' * (rest < 10)}{cardinal(rest)}"


def written_date(day: date, form: int) -> str:
    """One of four ways to write it."""
    of_month, month = ordinal(day.day), MONTHS[day.month - 1]
    forms = (
        f"the {of_month} of {month} {year(day.year)}",
        f"{month} the {of_month} {year(day.year)}",
        f"{DAYS[day.weekday()]} {of_month} {month} {year(day.year)}",
        f"{month} {cardinal(day.day)} {year(day.year)}",
    )
    return forms[form % len(forms)]


def draw(count: int, seed: int, *stream: int, avoid: frozenset[str] = frozenset()):
    """`count` pairs (words, digits): as many dates as numbers of 1 to 9 digits, none
    whose digits are in `avoid`. They depend on the arguments alone."""
    pairs: list[tuple[str, str]] = []
    turn = 0
    while len(pairs) < count:
        bits = random_bits(4 * count, seed, *stream, turn).reshape(-1, 4)
        made = (_pair(*map(int, row)) for row in bits)
        pairs += [pair for pair in made if pair[1] not in avoid]
        turn += 1
    return pairs[:count]


def _pair(kind: int, size: int, value: int, form: int) -> tuple[str, str]:
    kind, size, value, form = (bits >> 8 for bits in (kind, size, value, form))
    if kind % 2:
        day = FIRST + timedelta(days=value % ((LAST - FIRST).days + 1))
        return written_date(day, form), day.isoformat()
    number = value % 10 ** (1 + size % DIGITS)
    return cardinal(number, joined=form % 2 == 0), str(number)


def columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The words and the digits of pairs."""
    return [words for words, _ in pairs], [digits for _, digits in pairs]


def every_unit() -> tuple[list[str], list[str]]:
    """Texts with each word that `draw` uses, and each sign, to make vocabularies of."""
    numbers = [cardinal(n) for n in range(100)] + ["hundred thousand million and oh"]
    days = [ordinal(n) for n in range(1, 32)] + ["the of"]
    return [" ".join([*numbers, *days, *MONTHS, *DAYS])], ["0123456789-"]
