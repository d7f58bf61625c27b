"""What many trials found, as a table."""

from collections import Counter

from tests.e2e.matrix.causes import UNEXPLAINED


class Table:
    """Adds up outcomes."""

    def __init__(self):
        self.seeds = self.orders = self.fills = 0
        self.kills = Counter()
        self.failed = []
        self.alive = []
        self.dead = []
        self.causes = Counter()  # (cause, whether the process lived) of what was bare for too long
        self.unexplained = []

    def add(self, outcome):
        self.seeds += 1
        self.kills.update(where for where in outcome.kills if where != "end")
        self.orders += outcome.orders
        self.fills += outcome.fills
        self.alive += [span.seconds for span in outcome.bare if span.lived]
        self.dead += [span.seconds for span in outcome.bare if not span.lived]
        long = [span for span in outcome.bare if span.cause]
        self.causes.update((span.cause, span.lived) for span in long)
        self.unexplained += [(outcome.seed, span) for span in long if span.cause == UNEXPLAINED]
        if outcome.faults:
            self.failed.append(outcome)

    def text(self):
        kinds = Counter(fault.partition(":")[0] for outcome in self.failed for fault in outcome.faults)
        lines = [
            f"seeds {self.seeds}, kills {self.kills.total()}, orders {self.orders}, filled {self.fills}",
            f"ledgers that differed: {len(self.failed)} {dict(kinds)}",
            f"uncovered, process alive: {_spread(self.alive)}",
            f"uncovered, process dead in between: {_spread(self.dead)}",
            *(
                f"  over 2 s, process {'alive' if lived else 'dead'}: {count} - {cause}"
                for (cause, lived), count in self.causes.most_common()
            ),
            *(f"  seed {seed}: {_told(span)}" for seed, span in self.unexplained[:20]),
            *(f"  killed {where}: {count}" for where, count in self.kills.most_common()),
            *(f"  seed {one.seed} {one.kills}: {one.faults[:4]}" for one in self.failed[:20]),
        ]
        return "\n".join(lines)


def _told(span):
    notes = "; ".join(f"{at - span.since_s:+.2f} {text}" for at, _, text in span.notes)
    return f"{span.symbol} bare for {span.seconds:.2f} s from {span.since_s:.2f}: {notes}"


def _spread(seconds):
    if not seconds:
        return "never"
    ordered = sorted(seconds)
    shown = [
        f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * share))]:.3f} s" for name, share in _AT
    ]
    over = sum(one > 2 for one in ordered)
    return f"{len(ordered)} times, {', '.join(shown)}, over 2 s {over}"


_AT = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0))
