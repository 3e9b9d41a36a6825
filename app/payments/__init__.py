"""The domain: from a payroll run to an approved, delivered and recorded payment."""
