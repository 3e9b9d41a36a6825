"""The REST surface of the domain: parse, authorise, call one use case, answer."""
