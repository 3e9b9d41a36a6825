"""A stand-in for a bank that takes payment files, as strict as the strictest rule known. Shares no code with `app`."""
