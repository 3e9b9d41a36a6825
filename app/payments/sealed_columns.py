"""Every column that holds sealed values: what a change of the encryption key has to seal anew.

A test compares this list with the tables; each name and tenant must be those of the use case that seals the value.
"""

from app.core.resealing import SealedColumn

_OF_CONNECTION = "SELECT organization_id FROM connection WHERE connection.id = webhook_delivery.connection_id"
_OF_RUN = "SELECT employer_id FROM payroll_run WHERE payroll_run.id = source_reading.run_id"
_OF_BATCH = "SELECT employer_id FROM payment_batch WHERE payment_batch.id = payment_file.batch_id"

SEALED_COLUMNS = (
    SealedColumn(
        table="connection",
        column="secret_sealed",
        tenant="connection.organization_id",
        organization="connection.organization_id",
    ),
    SealedColumn(
        table="webhook_delivery",
        column="body_sealed",
        tenant="webhook_delivery.connection_id",
        organization=_OF_CONNECTION,
    ),
    SealedColumn(table="source_reading", column="raw_sealed", tenant=_OF_RUN, organization=_OF_RUN),
    SealedColumn(table="payment_file", column="content_sealed", tenant=_OF_BATCH, organization=_OF_BATCH),
    SealedColumn(
        table="status_report",
        column="raw_sealed",
        tenant="status_report.employer_id",
        organization="status_report.employer_id",
    ),
)
