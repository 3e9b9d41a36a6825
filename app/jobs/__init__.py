"""The job engine: how work is deferred and run; knows no kind of job."""
