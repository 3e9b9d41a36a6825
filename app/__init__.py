"""Loonstroom: a finished payroll run becomes an approved salary payment, once."""
