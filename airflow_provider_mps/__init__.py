"""An Apache Airflow provider for Tencent Cloud Media Processing Service (MPS)."""

__version__ = "1.0.0"
