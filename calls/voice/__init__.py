"""Answering calls: what a provider can be told (actions), what is to be told when (flows), and the decision in between."""
