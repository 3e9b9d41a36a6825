"""Organizations, people, tokens and PINs: who may do what."""
