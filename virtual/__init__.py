"""The virtual provider: a Sautikit and a MiniVoice on this machine, which ring our flows over real HTTP and know the truth."""
