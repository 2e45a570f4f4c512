"""How a card shows an interval and a table."""


def band(ci):
    return f"{ci[0]:.2f} to {ci[1]:.2f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, r)) + " |" for r in rows)])
