"""Nmbrs as a payroll source."""
