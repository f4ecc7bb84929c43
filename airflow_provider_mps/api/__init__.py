"""MPS as it is on the wire. Knows no Airflow and can be used alone."""
