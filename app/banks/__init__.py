"""Ways to get a payment file to a bank."""
