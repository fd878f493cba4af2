"""What a leg costs: plans (`plan`), their exact arithmetic (`plain`), and the same compiled to integers (`rate`).

Money is integer minor units beside a currency, a rate an exact rational; the one rounding is at the grain the rule names.
"""
