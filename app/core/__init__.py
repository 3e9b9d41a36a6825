"""What every part stands on: settings, database, errors, money, time, secrets."""
