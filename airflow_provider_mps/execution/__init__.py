"""What happens inside an Airflow task."""
