"""Reports of matches and what they come to in one sentence, made up without end.

    Ajax met Porto in Turin on Friday. It rained all day. Porto scored one goal. A
    player of Celtic was hurt. Ajax scored three goals.

    Ajax beat Porto three to one in Turin.

Who won is in no sentence of the report, and some sentences are of no use.
"""

from collections.abc import Sequence

from jnets.data.dataset import permutation, random_bits

TEAMS = (
    "Ajax Arsenal Basel Benfica Brugge Celtic Dynamo Everton Juventus Lazio Lyon Malmo "
    "Marseille Porto Rangers Roma Sevilla Sparta Valencia Villarreal"
).split()
CITIES = (
    "Athens Berlin Dublin Geneva Helsinki Krakow Lisbon London Madrid Milan Munich "
    "Oslo Paris Prague Rotterdam Sofia Turin Vienna Warsaw Zurich"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
GOALS = "no one two three four five six".split()
FILLERS = (
    "It rained all day.",
    "The sun was shining.",
    "There were many people in the stadium.",
    "The referee was late.",
    "A player of {other} was hurt.",
    "The trainer of {other} was there.",
    "{other} had won there the week before.",
    "The second half was better than the first.",
)
MOST_FILLERS = 3
# The longest report and sentence, in words and signs.
MOST_WORDS, MOST_WRITTEN = 45, 9


def draw(
    count: int, seed: int, *stream: int, avoid: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """`count` pairs (report, sentence), no report in `avoid`; they depend on the
    arguments alone."""
    pairs: list[tuple[str, str]] = []
    turn = 0
    while len(pairs) < count:
        seeds = random_bits(count, seed, *stream, turn)
        made = (_pair(int(s) >> 16) for s in seeds)
        pairs += [pair for pair in made if pair[0] not in avoid]
        turn += 1
    return pairs[:count]


def _pair(seed: int) -> tuple[str, str]:
    bits = [int(b) >> 16 for b in random_bits(6 + 2 * MOST_FILLERS, seed)]
    one, two, other = (TEAMS[i] for i in permutation(len(TEAMS), seed, 1)[:3])
    city, day = CITIES[bits[0] % len(CITIES)], DAYS[bits[1] % len(DAYS)]
    scores = bits[2] % len(GOALS), bits[3] % len(GOALS)
    sentences = [_scored(one, scores[0]), _scored(two, scores[1])]
    if bits[4] % 2:
        sentences.reverse()
    for i in range(bits[5] % (MOST_FILLERS + 1)):
        filler = FILLERS[bits[6 + 2 * i] % len(FILLERS)].format(other=other)
        sentences.insert(bits[7 + 2 * i] % (len(sentences) + 1), filler)
    report = " ".join([f"{one} met {two} in {city} on {day}.", *sentences])
    return report, f"{_result((one, two), scores)} in {city}."


def _scored(team: str, goals: int) -> str:
    return f"{team} scored {GOALS[goals]} goal{'s' * (goals != 1)}."


def _result(teams: tuple[str, str], scores: tuple[int, int]) -> str:
    high, low = max(scores), min(scores)
    if high == low:
        return f"{teams[0]} and {teams[1]} drew {_said(high)} all"
    winner, loser = teams if scores[0] == high else teams[::-1]
    return f"{winner} beat {loser} {_said(high)} to {_said(low)}"


def _said(goals: int) -> str:
    return GOALS[goals] if goals else "nil"


def every_unit() -> tuple[list[str], list[str]]:
    """Texts with each word that is used in reports and in sentences."""
    reports = [*TEAMS, *CITIES, *DAYS, *GOALS, "met in on scored goal goals ."]
    sentences = [*TEAMS, *CITIES, *GOALS[1:], "nil beat and drew to all in ."]
    fillers = (filler.format(other="") for filler in FILLERS)
    return [" ".join([*reports, *fillers])], [" ".join(sentences)]


def columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The reports and the sentences of pairs."""
    return [report for report, _ in pairs], [sentence for _, sentence in pairs]
