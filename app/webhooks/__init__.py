"""The public endpoint that payroll packages call."""
