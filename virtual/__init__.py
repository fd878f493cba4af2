"""The virtual provider: a Sautikit and a MiniVoice on this machine, towards Safiri over real HTTP.

It rings voice URLs, does what it is told (and refuses what a real validator refuses), keeps conference rooms, sends lifecycle
webhooks with signatures, retries and, where asked, faults, and serves the provider's REST. What its people want comes from
`calls.simulator`; it knows the truth about every call that it made.
"""
