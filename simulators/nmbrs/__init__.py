"""A stand-in for the Nmbrs SOAP API v3 and its webhooks; docs/nmbrs-simulator.md describes it."""
