"""The call centre as it is now: agents, waiting callers, offers, outbound orders. Operational rows, each change one transaction.

What changes them: the API (agents' states, orders), the voice handler (callers come, go, are joined) and the worker (rings
agents, lets time decide). Every change writes the events it means into the outbox of the same transaction.
"""
