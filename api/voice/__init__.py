"""`/voice/**`: a provider asks what to do with a call and is answered within the deadline, whatever is down."""
