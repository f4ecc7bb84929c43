"""The documented place of ``lay_soundtrack``."""

from airflow_provider_mps.api.request.soundtrack import lay_soundtrack

__all__ = ["lay_soundtrack"]
